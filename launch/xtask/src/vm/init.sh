#!/bin/sh
# First process of the VM: mounts, loads the modules in their order, runs the tests one by one, ends the VM.
# Console: ttyS0. What the host reads as the tests' results: ttyS1.
export PATH=/usr/bin:/usr/sbin:/vm/busybox HOME=/tmp
/usr/bin/busybox mkdir -p /vm/busybox
/usr/bin/busybox --install -s /vm/busybox
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts none /dev/pts
mount -t tmpfs none /dev/shm
mount -t tmpfs none /tmp
ip link set lo up
read -r booted rest </proc/uptime
stty -F /dev/ttyS1 raw -echo

while read -r module parameters; do
    # Unquoted: each parameter is a word.
    insmod "/vm/modules/$module" $parameters || echo "cannot load $module" >/dev/ttyS1
done </vm/order
# A PC's clock ends at 115200 bit/s. Ports for servos have a faster one, and so have ours on PCI.
for port in /sys/class/tty/ttyS*; do
    case $(readlink -f "$port/device") in
    */pci0000*) setserial "/dev/${port##*/}" baud_base 1000000 ;;
    esac
done
read -r loaded rest </proc/uptime
echo "{\"booted_s\":$booted,\"loaded_s\":$loaded,\"release\":\"$(uname -r)\"}" >/dev/ttyS1

export VISUOMOTOR_VM=1
read -r root </vm/root
read -r program </vm/program
cd "$root" || exit 1
while read -r name; do
    echo "{\"started\":\"$name\"}" >/dev/ttyS1
    setsid "$program" "$name" >/dev/ttyS1 2>&1 </dev/null
    echo "{\"ended\":\"$name\",\"code\":$?}" >/dev/ttyS1
done </vm/tests

echo "{\"finished\":true}" >/dev/ttyS1
sync
sleep 0.1
# QEMU's isa-debug-exit: QEMU then ends with 2 * code + 1, never with 0.
printf '\1' | dd of=/dev/port bs=1 seek=$((0xf4)) 2>/dev/null
# Only reached without that device.
reboot -f
