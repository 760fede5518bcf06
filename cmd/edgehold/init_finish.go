package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/edgehold/edgehold/agent/config"
	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/setup"
)

const (
	unitName = "edgehold"
	// firstPatience is how long the first accepted point is waited for.
	firstPatience = 4 * time.Minute
)

// review shows what is going to be written.
func (s *initSession) review(bool) error {
	a := &s.answers
	a.StateDir, a.Socket = "", ""
	if s.config != defaultConfig { // the service has folders of its own
		a.StateDir, a.Socket = "state", "control.sock"
	}
	if s.console == nil || s.dryRun {
		return nil
	}
	fmt.Fprintf(s.out, "\n  site     %s\n  uplink   %s\n  devices  %d\n  file     %s\n", oneLine(a.Site), a.Uplink.URL, len(a.Devices), s.config)
	yes, err := s.console.agree("Write it?", true)
	if err == nil && !yes {
		return errLeave
	}
	return err
}

// finish writes the configuration and starts the service.
func (s *initSession) finish() error {
	plan, err := setup.NewPlan(s.answers, s.config, setup.OwnerHere(), time.Now())
	if err != nil {
		return err
	}
	if s.dryRun {
		return s.tellPlan(plan)
	}
	if err := plan.Write(s.ctx, s.good); err != nil {
		return err
	}
	for _, path := range plan.Files() {
		fmt.Fprintf(s.out, "  wrote   %s\n", oneLine(path))
	}
	service := setup.Service{Unit: unitName, Booted: "/run/systemd/system"}
	if s.config != defaultConfig || !service.Present(s.ctx) {
		return s.tellForeground()
	}
	return s.start(service)
}

// good loads the configuration that is about to be written.
func (s *initSession) good(path string) error {
	cfg, warnings, err := config.Load(path, kinds())
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintf(s.out, "  note    %s\n", oneLine(w.Text))
	}
	if cfg.Uplink.HasToken() {
		_, err = cfg.Uplink.Token()
	}
	return err
}

// tellPlan prints what would be written. Files of secrets are named alone.
func (s *initSession) tellPlan(plan *setup.Plan) error {
	fmt.Fprintf(s.out, "Nothing is written. These files would be (%s):\n", plan.Owner)
	for _, path := range plan.Files() {
		fmt.Fprintf(s.out, "  %s\n", oneLine(path))
	}
	if site, written := setup.Configured(s.config); written && !s.force {
		fmt.Fprintf(s.out, "There is a configuration%s already; --force would be needed.\n", ofSite(site))
	}
	if _, err := io.WriteString(s.cmd.OutOrStdout(), plainText(string(plan.YAML()))); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return s.out.done()
}

func ofSite(site string) string {
	if site == "" {
		return ""
	}
	return " of the site " + oneLine(site)
}

// tellForeground says how to run the agent where no service is started.
func (s *initSession) tellForeground() error {
	flag := ""
	if s.config != defaultConfig {
		flag = " --config " + shellWord(s.config)
	}
	fmt.Fprintf(s.out, "Run the agent:  edgehold run%s\nLook at it:     edgehold status%s\n", flag, flag)
	return s.out.done()
}

// start starts the service, if that is wanted, and waits for the first point.
func (s *initSession) start(service setup.Service) error {
	if !s.noStart && s.console != nil {
		yes, err := s.console.agree("Start the service now, and at each boot?", true)
		if err != nil && !errors.Is(err, errBack) {
			return errors.New("stopped; the configuration is written, and the service is not started: systemctl enable --now " + unitName)
		}
		s.noStart = err != nil || !yes
	}
	if s.noStart {
		fmt.Fprintf(s.out, "Start it:    systemctl enable --now %s\nLook at it:  edgehold status\n", unitName)
		return s.out.done()
	}
	if err := service.Start(s.ctx); err != nil {
		return fmt.Errorf("start the service: %w; see journalctl -u %s -n 20", err, unitName)
	}
	return s.await(control.Client{Path: config.SocketOf(s.config), Timeout: 5 * time.Second}, firstPatience)
}

// await waits for the first accepted point and says how long it took.
func (s *initSession) await(client control.Client, patience time.Duration) error {
	started := time.Now()
	fmt.Fprintln(s.out, "The service runs. The first point is mostly accepted within a minute.")
	bar := newProgress(s.cmd, s.console == nil)
	var last *control.Status
	err := setup.FirstPoint(s.ctx, client, patience, func(st *control.Status) {
		if st != nil {
			last = st
		}
		bar.count(int(time.Since(started).Seconds()), waitText(st))
	})
	bar.end()
	switch {
	case errors.Is(err, setup.ErrNoPoint):
		return exitCode{exitCheck, errors.New(s.unaccepted(last, patience))}
	case err != nil:
		return errors.New("stopped waiting; the service runs on: edgehold status")
	}
	fmt.Fprintf(s.out, "The first point was accepted after %s, %s after edgehold init began. See: edgehold status\n",
		span(time.Since(started)), span(time.Since(s.began)))
	return s.out.done()
}

func waitText(st *control.Status) string {
	if st == nil {
		return "s: the service is starting"
	}
	return fmt.Sprintf("s: %d points measured, uplink %s", st.Account.Accepted, st.Uplink.State)
}

// unaccepted says what stands in the way.
func (s *initSession) unaccepted(last *control.Status, patience time.Duration) string {
	if last == nil {
		return fmt.Sprintf("the service does not answer; see journalctl -u %s -n 20", unitName)
	}
	text := fmt.Sprintf("no point was accepted within %s; %d are measured and kept", span(patience), last.Account.Accepted)
	if last.Uplink.LastError != "" {
		text += "; the uplink says: " + last.Uplink.LastError
	}
	return text + "; the service goes on trying, see edgehold status"
}
