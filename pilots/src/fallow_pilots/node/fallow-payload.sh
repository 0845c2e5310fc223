#!/bin/sh
# The first program inside the container: bounds the payload's processes, tells HTCondor that the container stands.
ulimit -u "$FALLOW_PROCS" 2>/dev/null || ulimit -p "$FALLOW_PROCS" 2>/dev/null || :
unset FALLOW_PROCS
: >"$_CONDOR_SCRATCH_DIR/.condor_container_launched"
exec "$@"
