#!/bin/sh
# The service ends with its package, but not while that is upgraded: then postinstall.sh restarts
# it. dpkg says "upgrade", or "failed-upgrade" where the old package's script has failed, rpm the
# number of packages that are left.
set -e
case ${1:-} in
upgrade | failed-upgrade | 1) exit 0 ;;
esac
[ -d /run/systemd/system ] || exit 0
systemctl disable --now respgate.service
