set -fu
# From here on the environment holds only the payload's own variables, which carry a prefix.
names=$(export -p | sed -n 's/^declare -x /export /; s/^export \([A-Za-z_][A-Za-z0-9_]*\)$/\1/p; s/^export \([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p')
for name in $names; do
    case $name in
    APPTAINERENV_*) ;;
    *) command unset "$name" 2>/dev/null ;;
    esac
done
