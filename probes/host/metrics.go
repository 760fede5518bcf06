package host

import "github.com/edgehold/edgehold/probes"

// metric describes one key.
type metric struct {
	key, unit, name string
	kind            probes.Type
	group           string
}

// The groups of metrics.
const (
	groupCPU         = "cpu"
	groupCores       = "cores"
	groupPressure    = "pressure"
	groupMemory      = "memory"
	groupFilesystem  = "filesystem"
	groupDisk        = "disk"
	groupNetwork     = "network"
	groupTemperature = "temperature"
	groupSystem      = "system"
	groupProcess     = "process"
	groupWear        = "wear"
	groupAll         = "all"
)

// groups are all of them; the usual ones come first.
var groups = []string{
	groupCPU, groupMemory, groupFilesystem, groupDisk, groupNetwork, groupTemperature, groupSystem, groupWear,
	groupCores, groupPressure, groupProcess,
}

// usual is how many of groups are read where none is named.
const usual = 8

// The metrics, by number.
const (
	cpuUsage = iota
	cpuMode
	coreUsage
	pressure
	memoryTotal
	memoryAvailable
	memoryUsage
	memoryKills
	swapUsed
	swapUsage
	spaceSize
	spaceAvailable
	spaceUsage
	spaceInodes
	spaceReadOnly
	diskRead
	diskWritten
	diskReads
	diskWrites
	diskBusy
	netUp
	netBytesIn
	netBytesOut
	netPacketsIn
	netPacketsOut
	netErrorsIn
	netErrorsOut
	netDroppedIn
	netDroppedOut
	temperature
	throttling
	load1
	load5
	load15
	uptime
	threads
	threadsRunning
	threadsBlocked
	filesOpen
	processMemory
	processCPU
	processThreads
	processFiles
	wear
	wearReserve
	metricCount
)

const gauge, count = probes.Gauge, probes.Count

var metrics = [metricCount]metric{
	cpuUsage:        {"edgehold.host.cpu.usage", "Percent", "CPU usage", gauge, groupCPU},
	cpuMode:         {"edgehold.host.cpu.mode", "Percent", "CPU usage by mode", gauge, groupCPU},
	coreUsage:       {"edgehold.host.core.usage", "Percent", "CPU usage by core", gauge, groupCores},
	pressure:        {"edgehold.host.pressure", "Percent", "Time in which tasks waited for a resource", gauge, groupPressure},
	memoryTotal:     {"edgehold.host.memory.total", "Byte", "Memory", gauge, groupMemory},
	memoryAvailable: {"edgehold.host.memory.available", "Byte", "Memory available", gauge, groupMemory},
	memoryUsage:     {"edgehold.host.memory.usage", "Percent", "Memory usage", gauge, groupMemory},
	memoryKills:     {"edgehold.host.memory.oom_kills", "Count", "Processes killed for want of memory", count, groupMemory},
	swapUsed:        {"edgehold.host.swap.used", "Byte", "Swap used", gauge, groupMemory},
	swapUsage:       {"edgehold.host.swap.usage", "Percent", "Swap usage", gauge, groupMemory},
	spaceSize:       {"edgehold.host.filesystem.size", "Byte", "File system size", gauge, groupFilesystem},
	spaceAvailable:  {"edgehold.host.filesystem.available", "Byte", "File system space available", gauge, groupFilesystem},
	spaceUsage:      {"edgehold.host.filesystem.usage", "Percent", "File system usage", gauge, groupFilesystem},
	spaceInodes:     {"edgehold.host.filesystem.inodes_usage", "Percent", "File system inode usage", gauge, groupFilesystem},
	spaceReadOnly:   {"edgehold.host.filesystem.read_only", "State", "File system is read-only", gauge, groupFilesystem},
	diskRead:        {"edgehold.host.disk.read_bytes", "Byte", "Disk bytes read", count, groupDisk},
	diskWritten:     {"edgehold.host.disk.written_bytes", "Byte", "Disk bytes written", count, groupDisk},
	diskReads:       {"edgehold.host.disk.reads", "Count", "Disk read operations", count, groupDisk},
	diskWrites:      {"edgehold.host.disk.writes", "Count", "Disk write operations", count, groupDisk},
	diskBusy:        {"edgehold.host.disk.busy", "Percent", "Time in which the disk was busy", gauge, groupDisk},
	netUp:           {"edgehold.host.net.up", "State", "Interface is up", gauge, groupNetwork},
	netBytesIn:      {"edgehold.host.net.bytes_in", "Byte", "Interface bytes in", count, groupNetwork},
	netBytesOut:     {"edgehold.host.net.bytes_out", "Byte", "Interface bytes out", count, groupNetwork},
	netPacketsIn:    {"edgehold.host.net.packets_in", "Count", "Interface packets in", count, groupNetwork},
	netPacketsOut:   {"edgehold.host.net.packets_out", "Count", "Interface packets out", count, groupNetwork},
	netErrorsIn:     {"edgehold.host.net.errors_in", "Count", "Interface errors in", count, groupNetwork},
	netErrorsOut:    {"edgehold.host.net.errors_out", "Count", "Interface errors out", count, groupNetwork},
	netDroppedIn:    {"edgehold.host.net.dropped_in", "Count", "Interface packets dropped in", count, groupNetwork},
	netDroppedOut:   {"edgehold.host.net.dropped_out", "Count", "Interface packets dropped out", count, groupNetwork},
	temperature:     {"edgehold.host.temperature", "Celsius", "Temperature", gauge, groupTemperature},
	throttling:      {"edgehold.host.throttling", "State", "Throttling or under-voltage", gauge, groupTemperature},
	load1:           {"edgehold.host.load1", "Count", "Load, 1 minute", gauge, groupSystem},
	load5:           {"edgehold.host.load5", "Count", "Load, 5 minutes", gauge, groupSystem},
	load15:          {"edgehold.host.load15", "Count", "Load, 15 minutes", gauge, groupSystem},
	uptime:          {"edgehold.host.uptime", "Second", "Uptime of the host", gauge, groupSystem},
	threads:         {"edgehold.host.threads", "Count", "Threads", gauge, groupSystem},
	threadsRunning:  {"edgehold.host.threads.running", "Count", "Threads that run or could", gauge, groupSystem},
	threadsBlocked:  {"edgehold.host.threads.blocked", "Count", "Threads that wait for a disk", gauge, groupSystem},
	filesOpen:       {"edgehold.host.files.open", "Count", "Open files", gauge, groupSystem},
	processMemory:   {"edgehold.host.process.memory", "Byte", "Resident memory of the agent", gauge, groupProcess},
	processCPU:      {"edgehold.host.process.cpu", "Percent", "CPU usage of the agent, of one core", gauge, groupProcess},
	processThreads:  {"edgehold.host.process.threads", "Count", "Threads of the agent", gauge, groupProcess},
	processFiles:    {"edgehold.host.process.files", "Count", "Open files of the agent", gauge, groupProcess},
	wear:            {"edgehold.host.storage.wear", "Percent", "Life time of flash storage that is used up, at most", gauge, groupWear},
	wearReserve:     {"edgehold.host.storage.reserve", "State", "Reserve of flash storage: 1 good, 2 low, 3 used up", gauge, groupWear},
}
