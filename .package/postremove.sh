#!/bin/sh
# After a removal. What the broker keeps stays until "apt-get purge" (of deb: rpm and apk have no such word).
set -e
case "$1" in
  upgrade | failed-upgrade | 1) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
fi
if [ "$1" = purge ]; then
  rm -rf /var/lib/mqt /var/lib/private/mqt
fi
