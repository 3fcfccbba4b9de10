#!/bin/sh
# Makes the user and the group that the service runs as.
set -e
getent group respgate >/dev/null || groupadd --system respgate
getent passwd respgate >/dev/null || useradd --system --gid respgate --home-dir /var/lib/respgate --no-create-home --shell /usr/sbin/nologin respgate
