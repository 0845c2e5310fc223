#!/bin/bash
# First process of a testbed host, started by host.py inside new mount, PID, network, UTS and IPC namespaces.
# Everything that it mounts lives in its own mount namespace and vanishes with it.
#   host-init.sh DIR LOWER:LOWER… NAME HOW     HOW: pivot | chroot | machine
set -eu
dir=$1 layers=$2 name=$3 how=$4
mount --make-rprivate /
hostname "$name"
ip link set lo up

if [ "$how" = machine ]; then
    # The desk: the machine's own files under the testbed's names and network.
    mount --bind "$dir/upper/etc/hosts" /etc/hosts
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    touch "$dir/ready"
else
    root=$dir/root
    mount -t overlay overlay -o "lowerdir=$layers,upperdir=$dir/upper,workdir=$dir/work" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t tmpfs -o mode=755,size=1m tmpfs "$root/dev"
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777,size=512m tmpfs "$root/dev/shm"
    mount -t tmpfs -o mode=1777,size=1g tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755,size=64m tmpfs "$root/run"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s /proc/self/fd/0 "$root/dev/stdin"
    ln -s /proc/self/fd/1 "$root/dev/stdout"
    ln -s /proc/self/fd/2 "$root/dev/stderr"
    while read -r node major minor; do
        mknod -m 666 "$root/dev/$node" c "$major" "$minor"
    done <<< $'null 1 3\nzero 1 5\nfull 1 7\nrandom 1 8\nurandom 1 9\ntty 5 0'
    [ -e "$dir/no-fuse" ] || mknod -m 666 "$root/dev/fuse" c 10 229
    # The mounts that host.py asks for: one "TYPE SOURCE TARGET OPTIONS" a line.
    while read -r type source target options; do
        mkdir -p "$root$target"
        if [ "$type" = bind ]; then mount -o "bind,$options" "$source" "$root$target"; else mount -t "$type" -o "$options" "$source" "$root$target"; fi
    done < "$dir/mounts"
    touch "$dir/ready"
    cd "$root"
    if [ "$how" = chroot ]; then
        # A chroot is what makes the kernel refuse new user namespaces to those inside.
        exec chroot . /bin/bash -c 'while :; do sleep infinity & wait; done'
    fi
    mkdir -p .before
    pivot_root . .before
    umount -l /.before
    cd /
fi
# bash reaps the orphans of the host; it ignores TERM as first process and dies with its parent.
exec /bin/bash -c 'while :; do sleep infinity & wait; done'
