# Runs in the root of the new tree: nothing of the machine that built it, and no secret that two hosts would share.
set -eu
rm -f etc/munge/munge.key etc/ssh/ssh_host_* etc/hostname etc/machine-id var/lib/dbus/machine-id
: > etc/resolv.conf
find var/log -type f -delete
mkdir -p opt/fallow
