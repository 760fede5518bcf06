package draintest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// serveControl answers GET /_ledger, GET /_ledger?pairs=1 and POST /_fault.
// Faults do not touch it.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_ledger":
		if r.URL.Query().Get("pairs") == "1" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_ = s.ledger.WritePairs(w) // an error means that the client is gone
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Counts()) // as above
	case "POST /_fault":
		if err := s.faultByQuery(r.URL.Query()); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, "control knows GET /_ledger, GET /_ledger?pairs=1 and POST /_fault?mode=...", http.StatusNotFound)
	}
}

// faultByQuery sets the fault that mode, only, count, lines, delay and
// retry_after describe; mode=none clears it.
func (s *Server) faultByQuery(q url.Values) (err error) {
	f := Fault{Mode: Mode(q.Get("mode")), Only: q.Get("only")}
	switch f.Mode {
	case "none":
		f.Mode = None
	case None:
		return fmt.Errorf("set fault: mode is missing; mode=none clears the fault")
	case Refuse:
		return fmt.Errorf("set fault: refuse would close this port too; use down or hang")
	}
	for name, field := range map[string]*int{"count": &f.Count, "lines": &f.Lines} {
		if text := q.Get(name); text != "" {
			if *field, err = strconv.Atoi(text); err != nil {
				return fmt.Errorf("set fault: %s %q is not a number", name, text)
			}
		}
	}
	for name, field := range map[string]*time.Duration{"delay": &f.Delay, "retry_after": &f.RetryAfter} {
		if text := q.Get(name); text != "" {
			if *field, err = time.ParseDuration(text); err != nil {
				return fmt.Errorf("set fault: %s %q is not a duration such as 2s", name, text)
			}
		}
	}
	return s.SetFault(f)
}
