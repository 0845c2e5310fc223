#!/bin/sh
# Become the inside of a root file system made of layers; runs in a mount namespace of its own.
# usage: inside.sh SCRATCH LOWER[:LOWER...] COUNT [INSIDE OUTSIDE]... COMMAND [ARGUMENT]...
set -eu
scratch=$1 lower=$2 count=$3
shift 3
mount -t tmpfs -o mode=0755 fallow-inside "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$scratch/upper,workdir=$scratch/work" fallow-inside "$scratch/root"
root=$scratch/root
mkdir -p "$root/.outside" "$root/proc" "$root/dev" "$root/tmp" "$root/run"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
[ -e "$root/etc/resolv.conf" ] || : > "$root/etc/resolv.conf" # Apptainer refuses to start without it
while [ "$count" -gt 0 ]; do
    mkdir -p "$root$1"
    mount --bind "$2" "$root$1"
    count=$((count - 1))
    shift 2
done
cd "$root"
pivot_root . .outside # not chroot: the kernel grants no user namespace inside one
cd /
umount -l /.outside
exec "$@"
