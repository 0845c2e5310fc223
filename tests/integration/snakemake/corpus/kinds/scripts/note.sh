cat "${snakemake_input[0]}" > "${snakemake_output[0]}"
echo "${snakemake_params[word]} ${snakemake_wildcards[sample]}" >> "${snakemake_output[0]}"
