package sign

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
)

// TakeDenyList takes a deny list that came in another way than by the folder of
// the roots, and remembers it in the folder State, where LoadTrust finds it. It
// is held against the same roots. One with a lower number than that in force,
// or the same, is no news.
func TakeDenyList(options TrustOptions, list, signature []byte) (news bool, err error) {
	if options.State == "" {
		return false, errors.New("take deny list: no folder is given to remember it in")
	}
	if max(len(list), len(signature)) > maxRootBytes {
		return false, fmt.Errorf("take deny list: it has more than %d bytes", maxRootBytes)
	}
	t, _, err := LoadTrust(options)
	if err != nil {
		return false, fmt.Errorf("take deny list: %w", err)
	}
	d, err := t.verifyDenial(signedDenial{List: list, Signature: signature, Handed: true})
	if err != nil {
		return false, fmt.Errorf("take deny list: %w", err)
	}
	key := authorityKey(d.root)
	for _, known := range t.denials {
		if authorityKey(known.root) == key && known.Number >= d.Number {
			return false, nil
		}
	}
	data, err := json.Marshal(d.signedDenial)
	if err == nil {
		err = remember(filepath.Join(options.State, "deny-"+key+".json"), data)
	}
	if err != nil {
		return false, fmt.Errorf("take deny list: remember number %d: %w", d.Number, err)
	}
	return true, nil
}
