package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/edgehold/edgehold/agent/control"
	"github.com/edgehold/edgehold/probes/snmp/snmptest"
)

const tellEvery = 200 * time.Millisecond

// switches N COMMUNITY answers as N switches, on port 161 of 127.0.0.2 and
// following.
func switches(args []string) error {
	if len(args) != 2 {
		return errUsage
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for i := range n {
		name := "switch-" + strconv.Itoa(i)
		r := snmptest.New(snmptest.Options{
			Addr:        fmt.Sprintf("127.0.0.%d:161", i+2),
			Communities: map[string]*snmptest.MIB{args[1]: snmptest.NewSwitch(name, 24, uint64(i), time.Now)},
		})
		if err := r.Start(); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	return forever()
}

// accounts SOCKET prints the account of the agent when it has changed, as a line
// of JSON, for ever.
func accounts(args []string) error {
	if len(args) != 1 {
		return errUsage
	}
	client, last := control.Client{Path: args[0], Timeout: 5 * time.Second}, ""
	for range time.Tick(tellEvery) {
		var st control.Status
		if client.Status(context.Background(), &st) != nil {
			continue // it does not run yet
		}
		text, err := json.Marshal(struct {
			control.Account
			Pending int `json:"pending"` // points in memory
		}{st.Account, st.Buffer.PendingPoints})
		if err != nil {
			return err
		}
		if string(text) == last {
			continue
		}
		last = string(text)
		fmt.Println(last)
	}
	return nil
}
