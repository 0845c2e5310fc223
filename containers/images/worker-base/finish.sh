# Runs in the root of the new tree. A job starts cold and the image travels: only what a job can use stays.
set -eu
packages=usr/local/lib/python3.13/dist-packages
ln -sf /usr/bin/python3 usr/local/bin/python
ln -sf /usr/bin/python3 usr/local/bin/python3
find "$packages/botocore/data" -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts -exec rm -rf {} +
find "$packages/pulp/solverdir/cbc" -mindepth 1 -maxdepth 1 ! -name linux ! -name __pycache__ -exec rm -rf {} +
find "$packages" -type d \( -name tests -o -name testing_data \) ! -path '*/snakemake/*' -prune -exec rm -rf {} +
# a notebook is executed there, not debugged or completed
rm -rf "$packages"/debugpy "$packages"/jedi/third_party
rm -rf usr/lib/cni usr/lib/python3.13/test usr/lib/python3.13/pydoc_data usr/local/share/man
rm -rf var/cache/debconf/* var/lib/dpkg/info etc/hostname
: > etc/resolv.conf
find var/log -type f -delete
