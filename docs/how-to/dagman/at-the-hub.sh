#!/bin/sh
# Runs one job at the hub and waits for it: at-the-hub.sh FILE.sub. DAGMan starts it on your machine, as the PRE script of a node.
set -eu
cluster=$(condor_submit -name "queue@$HUB" -spool -terse "$1")
cluster=${cluster%%.*}
while sleep 3; do
    # An answer that does not come is waited for: the hub may be away for a while.
    answer=$(condor_q -name "queue@$HUB" "$cluster" -af JobStatus ExitCode) || continue
    set -- $answer
    case ${1-gone} in
    1 | 2 | 6 | 7) ;;
    4) break ;;
    *)
        condor_rm -name "queue@$HUB" "$cluster" >/dev/null || :
        exit 1
        ;;
    esac
done
condor_transfer_data -name "queue@$HUB" "$cluster"
condor_rm -name "queue@$HUB" "$cluster" >/dev/null
exit "$2"
