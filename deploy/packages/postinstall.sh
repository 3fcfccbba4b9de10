#!/bin/sh
# An upgrade restarts a running service. A first installation starts none: see to
# /etc/respgate/respgate.yaml first, then `systemctl enable --now respgate`.
set -e
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
# Not try-restart, with which older systemds leave one alone that is still starting: with the store
# away the old program would stay. And not waiting for it: the store may be upgraded after us.
case $(systemctl is-active respgate.service) in
active | reloading | activating) systemctl restart --no-block respgate.service ;;
esac
