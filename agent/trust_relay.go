package agent

import (
	"encoding/json"
	"path/filepath"

	"github.com/edgehold/edgehold/sign"
)

// takeDenyList takes a deny list that a relay hands on: byte by byte the two
// files that the authority has written. It counts only where a root of this
// site stands behind it.
func (a *Agent) takeDenyList(paper []byte) {
	var files struct {
		List []byte `json:"list"`
		Sig  []byte `json:"sig"`
	}
	log := a.log.With().Str("part", "trust").Logger()
	if err := json.Unmarshal(paper, &files); err != nil {
		log.Warn().Err(err).Msg("the deny list that relays hand on cannot be read")
		return
	}
	a.mu.Lock()
	options := TrustOptions(a.cfg, a.atStart.StateDir)
	a.mu.Unlock()
	options.State = filepath.Join(a.atStart.StateDir, trustFolder)
	news, err := sign.TakeDenyList(options, files.List, files.Sig)
	switch {
	case err != nil:
		log.Warn().Err(err).Msg("the deny list that relays hand on is not taken")
	case news:
		a.denied.Store(true)
		log.Info().Msg("a new deny list came from a relay; packages are judged by it")
	}
}
