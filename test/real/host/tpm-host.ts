import { runToEnd, type Outcome } from '../program/run-to-end.ts'
import { tempFolder } from './temp-folder.ts'

/**
 * Shows this host without the marks of a container, and with the files by which systemd detects a TPM 2 (systemd:
 * src/shared/tpm2-util.c, tpm2_support()), in a mount namespace of its own. systemd uses no TPM 2 in a container.
 */
const ENTER = `
set -eu
root=$1
mount -t tmpfs tmpfs "$root"
for path in /*; do
  case $path in "/*" | /.dockerenv) continue ;; esac
  if [ -L "$path" ]; then cp -P "$path" "$root$path"
  elif [ -d "$path" ]; then mkdir "$root$path"; mount --rbind "$path" "$root$path"
  fi
done
mount -t tmpfs tmpfs "$root/sys/class"
mount -t tmpfs tmpfs "$root/sys/firmware"
mkdir -p "$root/sys/class/tpmrm/tpmrm0" "$root/sys/firmware/efi" "$root/sys/firmware/acpi/tables"
touch "$root/sys/firmware/acpi/tables/TPM2"
if [ "$2" = without ]; then mount -t tmpfs tmpfs "$root/var/lib/systemd"; fi
shift 2
exec chroot "$root" "$@"
`

/** Runs a program where systemd detects a TPM 2, with the host key of this host or without one. */
export function runOnTpmHost(
  command: readonly string[],
  hostKey: 'with' | 'without' = 'with',
): Promise<Outcome> {
  const enter = ['--mount', '--propagation', 'private', 'sh', '-c', ENTER, 'sh']
  return runToEnd('unshare', [...enter, tempFolder('tpm-host'), hostKey, ...command])
}
