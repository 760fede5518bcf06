// Storebench measures the store side by side with naive layouts: bytes on
// disk and at the block device, flushes, rates and memory. packaging/bench/
// buffer.sh makes the file system whose device is counted and runs it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "storebench:", err)
		os.Exit(1)
	}
}

const usage = `usage: storebench table|space|record|trial [flags]
  table   all measurements, as the tables of BENCHMARKS.md
  space   what growing a file and giving its space back cost, with bbolt alone
  record  points of the product's own polling, kept in a file
  trial   one measurement; what table runs, in a process of its own`

func run(args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	commands := map[string]func([]string) error{
		"table": tableCommand, "space": spaceCommand, "record": recordCommand, "trial": trialCommand,
	}
	command, ok := commands[args[0]]
	if !ok {
		return errors.New(usage)
	}
	return command(args[1:])
}

func tableCommand(args []string) error {
	var t table
	flags := flag.NewFlagSet("table", flag.ContinueOnError)
	flags.StringVar(&t.disk.Dir, "dir", "", "folder to measure in")
	flags.StringVar(&t.disk.Device, "device", "", "name of the block device below it, such as loop0; empty: not measured")
	flags.StringVar(&t.why, "why", "no device was named", "why the device is not measured")
	flags.StringVar(&t.scratch, "scratch", os.TempDir(), "folder for recordings, on another device")
	flags.Float64Var(&t.days, "days", 30, "days of the long outage")
	flags.IntVar(&t.cycles, "cycles", 256, "polls that are counted in each measurement")
	flags.IntVar(&t.rounds, "rounds", 240, "rounds of the recordings, each standing for a minute")
	flags.StringVar(&t.fleet, "fleet", "", "recording of the simulated fleet; empty: record anew")
	flags.StringVar(&t.snmpd, "snmpd", "", "recording of a busy snmpd; empty: record anew")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if t.disk.Dir == "" {
		return errors.New("table: -dir is missing, name the folder to measure in")
	}
	return t.print(os.Stdout)
}
