#!/bin/sh
# After an installation and an upgrade, of deb, rpm and apk. A broker that runs goes on as the new one; none is started:
# who installs a client has not asked for a server.
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
  systemctl try-restart mqt-broker.service || :
fi
