package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/board"
)

func newBoard() *cobra.Command {
	var asJSON, lines bool
	cmd := &cobra.Command{
		Use:   "board",
		Short: "Tell what this machine is: buses, pins, LEDs, temperatures, storage wear, clocks, watchdogs",
		Long: `Tell what this machine is and what sensors can be put on: I2C adapters and GPIO
lines by the names that probes use, LEDs, temperatures, the supply of a Raspberry
Pi, wear of eMMC, real-time clocks and watchdogs.

It changes nothing and needs no rights. What it may not see is told under notes,
with the mend.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report := board.Paths{}.Look()
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				if err := enc.Encode(report); err != nil {
					return fmt.Errorf("write to standard output: %w", err)
				}
				return nil
			}
			out := newScreen(cmd.OutOrStdout())
			printBoard(out, report, lines)
			return out.done()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with all GPIO lines")
	cmd.Flags().BoolVar(&lines, "lines", false, "list each GPIO line")
	return cmd
}

func printBoard(w io.Writer, r board.Report, lines bool) {
	printIdentity(w, r)
	printI2C(w, r.I2C)
	printGPIO(w, r.GPIO, lines)
	printBoardHealth(w, r)
	printDisks(w, r.Disks)
	printBoardClocks(w, r)
	if len(r.Notes) > 0 {
		fmt.Fprintf(w, "\nnotes\n")
		for _, note := range r.Notes {
			fmt.Fprintf(w, "  %s\n", note)
		}
	}
}

func printIdentity(w io.Writer, r board.Report) {
	id := r.Identity
	family := string(id.Family)
	if id.Generation > 0 {
		family += " " + strconv.Itoa(id.Generation)
	}
	if id.Emulator != "" {
		family += ", emulated by " + id.Emulator
	}
	fmt.Fprintf(w, "board    %s (%s)\n", orDash(id.Model), family)
	for _, row := range [][2]string{
		{"vendor", id.Vendor},
		{"version", id.Version},
		{"processor", id.Processor},
		{"serial", id.Serial},
		{"firmware", id.Firmware},
		{"kernel", strings.TrimSpace(r.Facts.Kernel + " " + r.Facts.Machine)},
	} {
		if row[1] != "" {
			fmt.Fprintf(w, "  %-9s %s\n", row[0], row[1])
		}
	}
}

func printI2C(w io.Writer, adapters []board.I2CAdapter) {
	fmt.Fprintf(w, "\nI2C\n")
	if len(adapters) == 0 {
		fmt.Fprintf(w, "  none\n")
		return
	}
	for _, a := range adapters {
		fmt.Fprintf(w, "  i2c-%-4d %s", a.Number, orDash(a.Name))
		if a.Transfers == "smbus" {
			fmt.Fprint(w, ", SMBus only")
		}
		if a.Device != "" {
			fmt.Fprintf(w, "; device %s", a.Device)
		}
		if a.Node != "" {
			fmt.Fprintf(w, "; node %s", a.Node)
		}
		fmt.Fprintln(w)
		for _, c := range a.Clients {
			driver := "no driver"
			if c.Driver != "" {
				driver = "driver " + c.Driver
			}
			fmt.Fprintf(w, "    %s %s, %s\n", c.Address, c.Name, driver)
		}
	}
}

func printGPIO(w io.Writer, chips []board.GPIOChip, lines bool) {
	fmt.Fprintf(w, "\nGPIO\n")
	if len(chips) == 0 {
		fmt.Fprintf(w, "  none\n")
		return
	}
	for _, c := range chips {
		used, named := 0, 0
		for _, l := range c.Lines {
			if l.Used {
				used++
			}
			if l.Name != "" {
				named++
			}
		}
		fmt.Fprintf(w, "  %s (%s): %d lines, %d with a name, %d in use\n", c.Label, c.Name, c.Count, named, used)
		if lines {
			printLines(w, c)
		}
	}
}

func printLines(w io.Writer, c board.GPIOChip) {
	for _, l := range c.Lines {
		words := []string{l.Direction}
		if l.ActiveLow {
			words = append(words, "active low")
		}
		if l.Pull != "" {
			words = append(words, "pull "+l.Pull)
		}
		if l.Debounce != "" {
			words = append(words, "debounce "+l.Debounce)
		}
		if l.Used {
			words = append(words, "used by "+orDash(l.Consumer))
		}
		fmt.Fprintf(w, "    %s/%d  %s: %s\n", c.Label, l.Offset, orDash(l.Name), strings.Join(words, ", "))
	}
}

func printBoardHealth(w io.Writer, r board.Report) {
	if len(r.LEDs) > 0 {
		fmt.Fprintf(w, "\nLEDs\n")
	}
	for _, l := range r.LEDs {
		fmt.Fprintf(w, "  %s: %d of %d, trigger %s\n", l.Name, l.Brightness, l.Max, orDash(l.Trigger))
	}
	if len(r.Thermal) > 0 {
		fmt.Fprintf(w, "\ntemperatures\n")
	}
	for _, z := range r.Thermal {
		fmt.Fprintf(w, "  %s (%s): %s", orDash(z.Type), z.Name, celsius(z.Celsius))
		if z.Critical != nil {
			fmt.Fprintf(w, ", critical at %s", celsius(z.Critical))
		}
		fmt.Fprintln(w)
	}
	if r.Power != nil {
		fmt.Fprintf(w, "\nsupply   now: %s; since boot: %s (told by %s)\n", powerText(r.Power.Now), powerText(r.Power.SinceBoot), r.Power.Source)
	}
}

func celsius(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', 1, 64) + " °C"
}

func powerText(words []string) string {
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

func printDisks(w io.Writer, disks []board.Disk) {
	fmt.Fprintf(w, "\nstorage\n")
	for _, d := range disks {
		fmt.Fprintf(w, "  %s %s %s, %s", d.Name, d.Kind, orDash(d.Model), bytesText(d.Bytes))
		if d.Made != "" {
			fmt.Fprintf(w, ", made %s", d.Made)
		}
		if d.Wear != nil && d.Wear.UsedPercent > 0 {
			fmt.Fprintf(w, ", up to %d %% of its life used", d.Wear.UsedPercent)
		}
		if d.Wear != nil && d.Wear.Reserve != "" {
			fmt.Fprintf(w, ", spare blocks %s", d.Wear.Reserve)
		}
		fmt.Fprintln(w)
	}
}

func printBoardClocks(w io.Writer, r board.Report) {
	fmt.Fprintf(w, "\nclocks and watchdogs\n")
	for _, c := range r.RTCs {
		shown := "holds no time"
		if c.Time != nil {
			shown = c.Time.Format(time.DateTime) + " UTC"
		}
		fmt.Fprintf(w, "  %s (%s): %s\n", c.Name, c.Driver, shown)
	}
	for _, d := range r.Watchdogs {
		fmt.Fprintf(w, "  %s (%s): %s, timeout %d s", d.Name, orDash(d.Identity), orDash(d.State), d.Timeout)
		if d.NoWayOut {
			fmt.Fprint(w, ", cannot be stopped")
		}
		if d.CausedIt {
			fmt.Fprint(w, "; it has reset this machine the last time")
		}
		fmt.Fprintln(w)
	}
	if len(r.RTCs)+len(r.Watchdogs) == 0 {
		fmt.Fprintf(w, "  none\n")
	}
}
