package mqtttest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Rabbit is a RabbitMQ with its MQTT plugin that ends with the test. It knows no
// shared subscriptions.
type Rabbit struct{ addr string }

// The user that a Rabbit knows. Who comes without a name is this one too.
const (
	RabbitUser     = "guest"
	RabbitPassword = "guest"
)

// rabbitServer is the script below the one of Debian, which wants root or a
// user of its own.
const rabbitServer = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// StartRabbit starts a RabbitMQ and waits until it accepts MQTT, which takes
// some 10 s.
func StartRabbit(t testing.TB) *Rabbit {
	t.Helper()
	Need(t, "rabbitmq-server")
	epmd := Need(t, "epmd") // the port mapper of Erlang, which otherwise stays behind as a daemon
	folder := t.TempDir()
	mqtt, mapper, cluster := freeAddr(t), portOf(freeAddr(t)), portOf(freeAddr(t))
	config := put(t, folder, "rabbitmq.conf", strings.Join([]string{
		"listeners.tcp = none", "mqtt.listeners.tcp.default = " + mqtt, "mqtt.allow_anonymous = true",
		"mqtt.default_user = " + RabbitUser, "mqtt.default_pass = " + RabbitPassword,
		"log.file = false", "log.console = true", "",
	}, "\n"))
	environment := append(os.Environ(),
		"HOME="+folder, "RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_NODENAME=edgehold"+portOf(mqtt)+"@localhost",
		"RABBITMQ_CONFIG_FILE="+config, "RABBITMQ_ENABLED_PLUGINS_FILE="+put(t, folder, "plugins", "[rabbitmq_mqtt].\n"),
		"RABBITMQ_MNESIA_BASE="+folder, "RABBITMQ_LOG_BASE="+folder, "RABBITMQ_PID_FILE="+filepath.Join(folder, "pid"),
		"RABBITMQ_GENERATED_CONFIG_DIR="+folder, "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT="+mapper, "RABBITMQ_DIST_PORT="+cluster,
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}")
	background(t, environment, filepath.Join(folder, "epmd.log"), epmd)
	awaitPort(t, "127.0.0.1:"+mapper, filepath.Join(folder, "epmd.log"))
	background(t, environment, filepath.Join(folder, "rabbit.log"), rabbitServer)
	awaitPort(t, mqtt, filepath.Join(folder, "rabbit.log"))
	return &Rabbit{mqtt}
}

// Addr is the host and port.
func (r *Rabbit) Addr() string { return r.addr }

// URL is how clients name the broker.
func (r *Rabbit) URL() string { return "mqtt://" + r.addr }

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr) // of our own making
	return port
}

// background runs a program, with all that it starts, until the end of the
// test.
func background(t testing.TB, environment []string, log, program string) {
	t.Helper()
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program)
	cmd.Env, cmd.Stdout, cmd.Stderr = environment, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // the group that is its own
		_ = cmd.Wait()
		out.Close()
	})
}

// awaitPort waits until something listens.
func awaitPort(t testing.TB, addr, log string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log)
			t.Fatal(fmt.Errorf("nothing listens at %s: %w\n%s", addr, err, text))
		}
		tick := time.NewTimer(20 * time.Millisecond)
		<-tick.C
	}
}
