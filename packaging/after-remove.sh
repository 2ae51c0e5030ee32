#!/bin/sh
set -e
case $1 in remove | purge | 0) ;; *) exit 0 ;; esac
# Node.js wrote it; no package owns it.
rm -rf /usr/lib/transit-bridge/dist/compile-cache
rmdir -p /usr/lib/transit-bridge/dist 2>/dev/null || :
[ ! -d /run/systemd/system ] || systemctl daemon-reload
