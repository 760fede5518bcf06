package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/agent/export"
)

type exportFlags struct {
	storeFlags
	request export.Request
	blocks  blocksFlags
	dims    []string
	output  string
	resume  bool
	quiet   bool
}

func newBufferExport() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the points of the store to a file or to standard output",
		Long: `Write the points of the store to standard output or, with --output, to a file.
The store is left as it is.

Formats
  mint         metric lines with timestamps, as they would be sent
  csv          one point a line, times in UTC, dimensions as one JSON object
  openmetrics  text for ` + "`promtool tsdb create-blocks-from openmetrics`" + `: names with
               underscores, statistics as four gauges (_min, _max, _sum, _count),
               counters as gauges of what they grew by

Choice
  --since 7d --until "2026-03-01 14:30"    by time; a duration is how long ago
  --device 192.0.2.10                      by address or name of the device
  --key '*.bytes'                          by metric key, its last sections, or a pattern
  --dim port=Gi1/0/1                       by a dimension; several must all fit

For a relay
  --blocks plant-7.blocks    instead of a format: an archive that is signed with
                             the site's certificate and that ` + "`edgehold relay import`" + `
                             takes, as often as you like without doubling a point

An export to FILE grows in FILE.part; when it was interrupted, the same command
with --resume goes on. openmetrics sorts the points in FILE.part.spill first.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.request.Format, "format", "", "mint, csv or openmetrics (default mint)")
	flags.StringVar(&f.request.Since, "since", "", "the first time: a duration such as 7d, or a date")
	flags.StringVar(&f.request.Until, "until", "", "the last time: a duration such as 1h, or a date")
	flags.StringVar(&f.request.Device, "device", "", "address or name of a device")
	flags.StringVar(&f.request.Key, "key", "", "metric key, its last sections, or a pattern with *")
	flags.StringArrayVar(&f.dims, "dim", nil, "dimension as KEY=VALUE; may be repeated")
	flags.BoolVar(&f.request.Delivered, "delivered", false, "also points that are delivered and still in the file")
	flags.StringVarP(&f.output, "output", "o", "", "file to write (default: standard output)")
	flags.BoolVar(&f.resume, "resume", false, "go on with an interrupted export to --output")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no progress bar and no summary")
	f.blocks.add(cmd) // excludes flags from above
	return cmd
}

func (f *exportFlags) run(cmd *cobra.Command) error {
	if f.request.Format != "" && !slices.Contains(export.Formats, f.request.Format) {
		return usage(cmd, fmt.Errorf("--format is %q, expected one of %s", f.request.Format, strings.Join(export.Formats, ", ")))
	}
	if f.resume && f.output == "" {
		return usage(cmd, errors.New("--resume needs the --output that it goes on with"))
	}
	var err error
	if f.request.Dims, err = dimensionFlags(f.dims); err != nil {
		return usage(cmd, err)
	}
	if err := f.blocks.only(); err != nil {
		return usage(cmd, err)
	}
	if f.blocks.file != "" {
		return f.runBlocks(cmd)
	}
	now := time.Now()
	if _, err := f.request.Filter(now); err != nil {
		return usage(cmd, err)
	}
	return f.with(cmd.Context(), readOnly, func(s export.Source) error {
		bar := newProgress(cmd, f.quiet || f.output == "" && isFileTerminal(cmd.OutOrStdout()))
		job := export.Job{
			Source: s, Request: f.request, Output: f.output, Stdout: cmd.OutOrStdout(), Resume: f.resume, Now: now,
			Progress: bar.show,
		}
		res, err := job.Run(cmd.Context())
		bar.end()
		if err != nil {
			return err
		}
		if !f.quiet {
			f.summarize(cmd.ErrOrStderr(), res)
		}
		return nil
	})
}

// dimensionFlags reads KEY=VALUE.
func dimensionFlags(texts []string) (map[string]string, error) {
	var dims map[string]string
	for _, text := range texts {
		k, v, ok := strings.Cut(text, "=")
		if !ok || k == "" || v == "" {
			return nil, fmt.Errorf("--dim is %q, expected KEY=VALUE such as port=Gi1/0/1", text)
		}
		if _, twice := dims[k]; twice {
			return nil, fmt.Errorf("--dim names %q twice, a point has one value of it", k)
		}
		if dims == nil {
			dims = map[string]string{}
		}
		dims[k] = v
	}
	return dims, nil
}

// summarize says what was written, and what was not.
func (f *exportFlags) summarize(w io.Writer, res export.Result) {
	if f.output != "" {
		fmt.Fprintf(w, "%d points in %s, %s\n", res.Points, f.output, bytesText(res.Bytes))
	}
	if res.Points == 0 && res.Skipped == 0 {
		fmt.Fprintln(w, "no point of the store fits the choice"+hintText(res.Hint))
	}
	if res.Skipped > 0 {
		fmt.Fprintf(w, "%d points have no place in this format and were left out; the first: %s\n", res.Skipped, oneLine(res.SkipReason))
	}
	if res.Doubles > 0 {
		fmt.Fprintf(w, "%d samples had the series and the time of another; the last of them was written\n", res.Doubles)
	}
	if res.Entries > 0 {
		fmt.Fprintf(w, "%d events and log records of the store are no points and were left out\n", res.Entries)
	}
}

// hintText names what is there instead.
func hintText(h export.Hint) string {
	switch {
	case len(h.Keys) > 0:
		return "; metrics that are there: " + oneLine(strings.Join(h.Keys, ", "))
	case len(h.Devices) > 0:
		return "; devices that are there: " + oneLine(strings.Join(h.Devices, ", "))
	}
	return ""
}

func isFileTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTerminal(f)
}
