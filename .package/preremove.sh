#!/bin/sh
# Before a removal, of deb ("remove"), rpm ("0") and apk (the version). An upgrade leaves the broker to postinstall.sh.
set -e
case "$1" in
  upgrade | failed-upgrade | deconfigure | 1) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
  systemctl disable --now mqt-broker.service || :
fi
