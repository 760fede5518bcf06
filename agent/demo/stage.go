package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/agent/drain/draintest"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

//go:embed ups/extension.yaml
var upsPackage embed.FS

const (
	community = "edgehold-demo"
	token     = "dt0c01.EDGEHOLD-DEMO.NOT-A-SECRET"
	ports     = 24
)

// stage is everything around the agent, and the agent itself as a child.
type stage struct {
	binary, dir                        string
	configPath, storePath, socketPath  string
	communityPath, packageDir, logPath string
	switchAddr, upsAddr, url           string
	linkUp                             bool
	env                                *draintest.Server
	devices                            []*snmptest.Responder
	child                              *child
}

func newStage(binary string) (*stage, error) {
	dir, err := tempFolder()
	if err != nil {
		return nil, err
	}
	s := &stage{
		binary: binary, dir: dir, linkUp: true,
		configPath:    filepath.Join(dir, "edgehold.yaml"),
		storePath:     filepath.Join(dir, "state", "edgehold.db"),
		socketPath:    filepath.Join(dir, "control.sock"),
		communityPath: filepath.Join(dir, "community"),
		packageDir:    filepath.Join(dir, "ups"),
		logPath:       filepath.Join(dir, "agent.log"),
	}
	if err := s.prepare(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *stage) prepare() error {
	if err := s.startDevices(); err != nil {
		return err
	}
	s.env = draintest.NewMetrics(draintest.Options{Token: token, Control: true})
	url, err := s.env.Start("127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the stand-in environment: %w", err)
	}
	s.url = url
	return s.writeFiles()
}

// startDevices gives each device a loopback address of its own, as devices have.
func (s *stage) startDevices() error {
	for _, d := range []struct {
		addr string
		mib  *snmptest.MIB
		at   *string
	}{
		{"127.0.0.2:0", snmptest.NewSwitch("demo-switch", ports, 1, time.Now), &s.switchAddr},
		{"127.0.0.3:0", snmptest.NewUPS("demo-ups", 2, time.Now), &s.upsAddr},
	} {
		r := snmptest.New(snmptest.Options{Addr: d.addr, Communities: map[string]*snmptest.MIB{community: d.mib}})
		if err := r.Start(); err != nil {
			return fmt.Errorf("start a simulated device: %w", err)
		}
		s.devices = append(s.devices, r)
		*d.at = r.Addr()
	}
	return nil
}

func (s *stage) writeFiles() error {
	manifest, err := upsPackage.ReadFile("ups/extension.yaml")
	if err != nil {
		return fmt.Errorf("read the embedded package: %w", err)
	}
	if err := os.Mkdir(s.packageDir, 0o755); err != nil {
		return err
	}
	for path, text := range map[string]string{
		filepath.Join(s.packageDir, "extension.yaml"): string(manifest),
		filepath.Join(s.dir, "ups.json"):              s.upsConfiguration(),
		filepath.Join(s.dir, "token"):                 token,
		s.communityPath:                               community,
		s.configPath:                                  s.head() + s.polls(),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) head() string {
	return fmt.Sprintf(`site: demo
state_dir: %s
socket: %s
uplink:
  dynatrace:
    url: %s
    token_file: %s
    resolution: full
buffer:
  commit_interval: 1s
trust:
  allow_unsigned: true
credentials:
  demo: {community_file: %s}
`, filepath.Dir(s.storePath), s.socketPath, s.url, filepath.Join(s.dir, "token"), s.communityPath)
}

func (s *stage) polls() string {
	return fmt.Sprintf(`extensions:
  - package: %s
    configuration: %s
    interval: 1s
probes:
  - {kind: snmp, devices: ["%s"], credentials: [demo], interval: 1s}
`, s.packageDir, filepath.Join(s.dir, "ups.json"), s.switchAddr)
}

func (s *stage) upsConfiguration() string {
	host, port := hostPort(s.upsAddr)
	return fmt.Sprintf(`{
  "enabled": true, "description": "the demo's UPS", "version": "1.0.0", "featureSets": [], "vars": {},
  "snmp": {"devices": [{"ip": "%s", "port": %s,
    "authentication": {"type": "SNMPv2c", "community": "%s"}}]}
}
`, host, port, community)
}

// startAgent starts the child and waits until it answers on its socket.
func (s *stage) startAgent(ctx context.Context) error {
	c, err := startChild(s.binary, s.configPath, s.logPath)
	if err != nil {
		return err
	}
	s.child = c
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if _, err := s.status(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.done:
			return errors.New("the agent ended right after its start")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("the agent does not answer on its socket")
}

func (s *stage) status(ctx context.Context) (control.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var st control.Status
	err := control.Client{Path: s.socketPath, Timeout: 5 * time.Second}.Status(ctx, &st)
	return st, err
}

func (s *stage) killAgent() error {
	if err := s.child.kill(); err != nil {
		return fmt.Errorf("kill the agent: %w", err)
	}
	return nil
}

// cutLink refuses connections once no request is under way, so that a point
// that was taken is also known to be taken.
func (s *stage) cutLink() {
	s.env.Refuse()
	s.linkUp = false
}

func (s *stage) restoreLink() error {
	if err := s.env.Restore(); err != nil {
		return fmt.Errorf("bring the stand-in back: %w", err)
	}
	s.linkUp = true
	return nil
}

func (s *stage) stopPolling(ctx context.Context) error { return s.rewrite(ctx, s.head()) }

func (s *stage) resumePolling(ctx context.Context) error { return s.rewrite(ctx, s.head()+s.polls()) }

func (s *stage) rewrite(ctx context.Context, text string) error {
	if err := os.WriteFile(s.configPath, []byte(text), 0o600); err != nil {
		return err
	}
	if err := (control.Client{Path: s.socketPath, Timeout: patience}).Reload(ctx); err != nil {
		return fmt.Errorf("reload the agent: %w", err)
	}
	return nil
}

func (s *stage) childPeak() int64 { return s.child.peak() }

func (s *stage) lastWords() string { return tail(s.logPath, 15) }

// Close ends what runs and removes the folder.
func (s *stage) Close() {
	if s.child != nil {
		s.child.stop()
	}
	if s.env != nil {
		s.env.Close()
	}
	for _, d := range s.devices {
		d.Close()
	}
	_ = os.RemoveAll(s.dir)
}
