#!/bin/sh
# An upgrade restarts a running service. A first installation starts none: see to
# /etc/respgate/respgate.yaml first, then `systemctl enable --now respgate`.
set -e
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
# Not waiting for it: with the store away, which may be upgraded after us, it is not ready for long.
systemctl try-restart --no-block respgate.service
