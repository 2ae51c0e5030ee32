#!/bin/sh
set -e
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
unit=transit-bridge-kms.service
config=/etc/transit-bridge/config.yaml
# After an upgrade, the running plugin is the old version.
pid=$(systemctl show --property=MainPID --value $unit)
[ "$pid" -gt 0 ] || exit 0
# The check sees the variables of the unit, which the configuration may use.
check='exec env -i "$@" /usr/bin/transit-bridge config check --config "$0" 2>&1'
if [ -e $config ] && ! report=$(xargs -0 -a "/proc/$pid/environ" sh -c "$check" $config); then
  echo "$report" >&2
  echo "transit-bridge: the old version keeps running, because this version does not accept $config; correct it, then run: systemctl restart $unit" >&2
  exit 0
fi
# API servers wait for the socket meanwhile.
systemctl try-restart $unit
