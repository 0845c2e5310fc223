# Runs in the root of the new tree. A job starts cold and the image travels: only what a job can use stays.
set -eu
ln -s /usr/bin/python3 usr/local/bin/python
find usr/local/lib/python3.13/dist-packages -type d -name tests -prune -exec rm -rf {} +
# Tables of parton densities (one that is built in will do), and pages for people.
rm -rf usr/local/share/Pythia8/pdfdata usr/local/share/Pythia8/htmldoc usr/local/share/Pythia8/pdfdoc
rm -rf usr/lib/python3.13/test usr/lib/python3.13/pydoc_data usr/local/share/man usr/share/perl
rm -rf var/cache/debconf/* var/lib/dpkg/info etc/hostname
: > etc/resolv.conf
find var/log -type f -delete
