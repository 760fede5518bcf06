package tenanttest

import (
	"archive/zip"
	"bytes"
)

// Bundle makes a bundle of a manifest, with a signature that only looks like
// one.
func Bundle(manifest string) []byte {
	return SignedBundle(manifest, "-----BEGIN CMS-----\nMIIB\n-----END CMS-----\n")
}

// SignedBundle makes a bundle with the text of its signature.
func SignedBundle(manifest, signature string) []byte {
	inner := zipped([][2]string{{"extension.yaml", manifest}})
	return zipped([][2]string{{"extension.zip", string(inner)}, {"extension.zip.sig", signature}})
}

// zipped writes to memory, where nothing can fail.
func zipped(files [][2]string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		if to, err := w.Create(f[0]); err == nil {
			_, _ = to.Write([]byte(f[1]))
		}
	}
	_ = w.Close()
	return b.Bytes()
}
