# Starts one payload in its container. HTCondor's starter runs this as the pilot's user, outside of the container,
# with the job's environment: nothing from the job is trusted here. The lines above have emptied the environment but
# for the payload's own variables, which carry a prefix, and have set the site's values:
#   apptainer version path execute libexec store verified entry check_sif home extra_binds procs_user procs_job requests
#   staging no_network
# Only words that HTCondor is known to pass are accepted; what the payload sees is decided below, not by them.
refuse() {
    printf 'fallow-apptainer: %s\n' "$1" >&2
    exit 255
}

# turn_away REASON: the job ends here, as if it had failed by itself: another pilot would not take it either.
turn_away() {
    : >"$scratch/.condor_container_launched"
    printf 'fallow: this job was not started: %s.\n' "$1" >&2
    exit 126
}

case ${1-} in
--version)
    # The starter asks before each job, and a job whose question is cut short by a signal is lost without a word.
    printf '%s\n' "$version"
    exit 0
    ;;
esac

scratch='' workdir='' home_dir='' pwd_dir='' images='' source='' nv='' verb='' memory_mb=0 disk_kb=0 cpus=1
while [ $# -gt 0 ]; do
    case $1 in
    -s | -q | -C) shift ;;
    exec | run)
        [ -z "$verb" ] || refuse "the word $1 came twice"
        verb=$1
        shift
        ;;
    -B)
        [ $# -gt 1 ] || refuse "-B has no value"
        shift 2 # binds are ours to choose
        ;;
    -W | --pwd | --home | --fallow-memory | --fallow-disk | --fallow-cpus | --fallow-images | --fallow-source)
        [ $# -gt 1 ] || refuse "$1 has no value"
        case $1 in
        -W) workdir=$2 ;;
        --pwd) pwd_dir=$2 ;;
        --home) home_dir=$2 ;;
        --fallow-memory) memory_mb=$2 ;;
        --fallow-disk) disk_kb=$2 ;;
        --fallow-cpus) cpus=$2 ;;
        --fallow-images) images=$2 ;;
        --fallow-source) source=$2 ;;
        esac
        shift 2
        ;;
    --nv)
        nv=--nv
        shift
        ;;
    -*) refuse "the option $1 is not known" ;;
    *) break ;;
    esac
done
[ -n "$verb" ] || refuse "neither exec nor run was asked for"
[ $# -gt 0 ] || refuse "no image was named"
image=$1
shift

case $source in
*[!a-z0-9:/._,-]*) refuse "the image's source is malformed" ;;
esac
for number in "$memory_mb" "$disk_kb" "$cpus"; do
    case $number in
    '' | *[!0-9]*) refuse "a limit is no number" ;;
    esac
done

export PATH="$path" HOME="$home" APPTAINER_CONFIGDIR="$home"

# HTCondor's own test of the runtime, at the start of the pilot.
case $image in
"$libexec"/singularity_test_sandbox | "$libexec"/exit_37.sif)
    [ "$image" = "$libexec/exit_37.sif" ] && image=$check_sif
    exec "$apptainer" -s exec --userns --containall --no-mount bind-paths,hostfs,home,cwd "$image" "$@"
    ;;
esac

# known DIGEST: whether the pilot has checked the image, and it is still what was checked. Sets file, the image, and run,
# what is run of it: a directory where this node cannot mount it.
known() {
    was='' file='' run=''
    [ ! -f "$verified/$1" ] || { read -r was && read -r file && read -r run; } <"$verified/$1" || return 1
    [ -n "$run" ] && [ "$(stat -L -c '%i %s %Y %Z' "$file" 2>/dev/null)" = "$was" ] && [ -e "$run" ]
}

# stored DIGEST: a verified image, fetched when it is missing or has changed.
stored() {
    case $1 in
    *[!0-9a-f]*) refuse "an image digest is malformed" ;;
    esac
    [ ${#1} -eq 64 ] || refuse "an image digest is malformed"
    # Before it is looked at: from now on the pilot keeps it in the store.
    : >"$requests/$1.use.$starter"
    ! known "$1" || return 0
    # The pilot holds the token and fetches; it takes the request away when it is done. Where the image is said to lie
    # is the job's word: the pilot asks there.
    printf '%s\n' "$source" >>"$requests/$1.from"
    : >"$requests/$1"
    while [ -e "$requests/$1" ]; do
        sleep 0.2
    done
    ! known "$1" || return 0
    [ "$was" != absent ] || turn_away "the hub has no image sha256:$1, or it is not in the registry that the job names"
    refuse "the image sha256:$1 cannot be had here"
}

case $workdir in
"$execute"/dir_*/../* | *..* | *:* | *,*) refuse "the scratch directory is not one of ours" ;;
"$execute"/dir_*) scratch=$workdir ;;
*) refuse "the scratch directory is not one of ours" ;;
esac
starter=${scratch#"$execute"/dir_}
starter=${starter%%/*}
case $starter in
'' | *[!0-9]*) refuse "the scratch directory is not one of ours" ;;
esac
case $pwd_dir in
"$scratch" | "$scratch"/*) ;;
*) refuse "the working directory is outside of the scratch directory" ;;
esac
[ "${home_dir:-$scratch}" = "$scratch" ] || refuse "the home directory is not the scratch directory"

# fallow-admit found something that pilots do not allow.
case $images in
refused-*) turn_away "pilots do not allow what it asks for (${images#refused-})" ;;
esac

digest=${image#/fallow/images/sha256-}
digest=${digest%.sif}
[ "$image" = "/fallow/images/sha256-$digest.sif" ] || refuse "the image is not named by its digest"
stored "$digest"
main=$run

# staged in|out: the pilot moves the job's files between S3 and here; it takes the request away when it is done.
staged() {
    place=${scratch#"$execute"/dir_}
    request=$staging/$1.${place%%/*}
    printf '%s\n' "dir_$place" >"$request.draft"
    mv "$request.draft" "$request.wanted"
    while [ -e "$request.wanted" ]; do
        sleep 0.1
    done
    said='away: The pilot did not answer.'
    [ ! -f "$request.said" ] || read -r said <"$request.said" || :
    rm -f "$request.said"
    [ "$said" = ok ] && return 0
    : >"$scratch/.condor_container_launched"
    printf 'fallow: staging: %s\n' "$said" >&2
    exit 126
}

leaves=no
if [ -f "$scratch/_fallow_ticket" ]; then
    while read -r word _; do
        case $word in
        in) staged in ;;
        out) leaves=yes ;;
        esac
    done <"$scratch/_fallow_ticket"
fi

export APPTAINER_TMPDIR="$scratch" APPTAINER_CACHEDIR="$scratch"

# The payload's own arguments stay last, ours are put before them.
set -- "$main" "$@"
[ "$images" != none ] || images=''
IFS=,
for extra in $images; do
    IFS=' '
    stored "${extra#sha256:}"
    # Also to the job itself as a directory where it is run as one: what cannot be mounted here cannot be mounted inside.
    set -- -B "$run:/fallow/images/sha256-${extra#sha256:}.sif:ro" "$@"
done
IFS=,
for bind in $extra_binds; do
    set -- -B "$bind" "$@"
done
IFS=' '
[ -z "$no_network" ] || set -- --net --network none "$@"
[ ! -c /dev/fuse ] || set -- -B /dev/fuse "$@"
[ -z "$nv" ] || set -- --nv "$@"

# One process may have twice the slot's memory as private data; HTCondor watches the sum. All processes of this
# user on this node together stay below procs_user; those of this payload below procs_job (set by the entry).
ulimit -c 0
[ "$disk_kb" -eq 0 ] || ulimit -f $((disk_kb * 2)) 2>/dev/null || :
[ "$memory_mb" -eq 0 ] || ulimit -d $((memory_mb * 2048)) 2>/dev/null || :
ulimit -u "$procs_user" 2>/dev/null || ulimit -p "$procs_user" 2>/dev/null || :
export APPTAINERENV_FALLOW_PROCS=$((procs_job + 256 * cpus))

set -- -s "$verb" --userns --containall --no-eval --no-mount bind-paths,hostfs,cwd \
    -W "$scratch" --home "$scratch" --pwd "$pwd_dir" -B "$scratch" \
    -B "$entry:/condor_container_launcher.sh:ro" "$@"
[ "$leaves" = yes ] || exec "$apptainer" "$@"

# A signal is for the payload; what it has made is stored when it has ended well.
"$apptainer" "$@" <&0 &
payload=$!
trap 'kill -TERM "$payload" 2>/dev/null' TERM
status=0
while :; do
    wait "$payload" && status=0 || status=$?
    kill -0 "$payload" 2>/dev/null || break
done
[ "$status" -ne 0 ] || staged out
exit "$status"
