rule scripted:
    input:
        workflow.source_path("../resources/known.txt"),
    output:
        "scripted.txt",
    script:
        "../scripts/copy.py"
