// Package host measures the machine that the agent runs on: processors, memory,
// file systems, disks, network interfaces, temperatures. It reads what the kernel
// shows under /proc and /sys, and nothing else.
package host
