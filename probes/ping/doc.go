// Package ping sends ICMP echo requests and measures loss and round trip times.
// All targets of a process share one socket for each of IPv4 and IPv6, which is
// open while somebody is polled: a socket for ICMP that needs no right where
// net.ipv4.ping_group_range allows it, else a raw one, which needs CAP_NET_RAW.
package ping
