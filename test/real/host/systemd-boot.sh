# Boots the systemd of a Debian root as process 1 of separate namespaces, with a separate cgroup.
# usage: systemd-boot.sh ROOT CGROUP
set -eu
mkdir -p "$2"
echo $$ >"$2/cgroup.procs"
exec unshare --mount --pid --fork --cgroup --uts --kill-child --propagation private sh -c '
set -eu
cd "$1"
mount --bind . .
cd "$1"
mount -t proc proc proc
# Read-only, so that systemd leaves the settings of the kernel alone.
mount -o bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 none sys/fs/cgroup
for folder in run tmp dev; do mount -t tmpfs tmpfs "$folder"; done
while read -r name major minor; do
  mknod -m 666 "dev/$name" c "$major" "$minor"
done <<DEVICES
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
DEVICES
ln -s /proc/self/fd dev/fd
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
exec chroot . env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --log-target=console --show-status=no --unit=multi-user.target
' sh "$1"
