// Command oci makes a multi-architecture image from an empty base, without a
// daemon: one layer for each platform, in a tar file with an OCI layout.
//
//	oci OUT.tar VERSION ROOT PLATFORM=BINARY...
//
// ROOT is a folder with what all platforms share. A platform is written as
// linux/arm/v7. SOURCE_DATE_EPOCH is the time of everything within, so that the
// same files give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// owner is the number of the user and of the group edgehold in the image.
const owner = 64801

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oci:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 4 {
		return fmt.Errorf("usage: oci OUT.tar VERSION ROOT PLATFORM=BINARY...")
	}
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("read SOURCE_DATE_EPOCH: %w", err)
	}
	m := maker{version: args[1], root: args[2], time: time.Unix(seconds, 0).UTC()}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, pair := range args[3:] {
		name, binary, found := strings.Cut(pair, "=")
		if !found {
			return fmt.Errorf("%q is not PLATFORM=BINARY", pair)
		}
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return fmt.Errorf("read platform %s: %w", name, err)
		}
		image, err := m.image(platform, binary)
		if err != nil {
			return fmt.Errorf("make image %s: %w", name, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: platform},
		})
	}
	return m.write(args[0], index)
}

type maker struct {
	version, root string
	time          time.Time
}

func (m maker) image(platform *v1.Platform, binary string) (v1.Image, error) {
	content, err := m.layer(binary)
	if err != nil {
		return nil, fmt.Errorf("pack layer: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(9))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{
		Layer: layer, History: v1.History{Created: v1.Time{Time: m.time}, CreatedBy: "packaging/oci.sh"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created = v1.Time{Time: m.time}
	config.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", owner, owner),
		Entrypoint: []string{"/usr/bin/edgehold"},
		Cmd:        []string{"run"},
		Volumes:    map[string]struct{}{"/var/lib/edgehold": {}},
		StopSignal: "SIGTERM",
		Labels: map[string]string{
			"org.opencontainers.image.title":    "edgehold",
			"org.opencontainers.image.version":  m.version,
			"org.opencontainers.image.created":  m.time.Format(time.RFC3339),
			"org.opencontainers.image.source":   "https://github.com/edgehold/edgehold",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(image, config)
}

// layer is the tar file of an image: the shared folder with the binary in it.
func (m maker) layer(binary string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err := filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == m.root {
			return err
		}
		name, err := filepath.Rel(m.root, path)
		if err != nil {
			return err
		}
		return m.add(w, path, name)
	})
	if err != nil {
		return nil, err
	}
	if err := m.add(w, binary, "usr/bin/edgehold"); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// add packs one file or folder. What lies under var/lib/edgehold and run/edgehold
// is the agent's, the rest is root's.
func (m maker) add(w *tar.Writer, path, name string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	header := &tar.Header{
		Name: filepath.ToSlash(name), Mode: int64(info.Mode().Perm()), ModTime: m.time,
		Typeflag: tar.TypeReg, Size: info.Size(), Format: tar.FormatUSTAR,
	}
	if info.IsDir() {
		header.Name, header.Typeflag, header.Size = header.Name+"/", tar.TypeDir, 0
		if info.Mode()&fs.ModeSticky != 0 {
			header.Mode |= 0o1000
		}
	}
	switch name {
	case "usr/bin/edgehold":
		header.Mode = 0o755 // whatever the umask of the build was
	case "var/lib/edgehold", "run/edgehold":
		header.Uid, header.Gid = owner, owner
	}
	if strings.HasPrefix(name, "etc/edgehold") {
		header.Gid = owner
	}
	if err := w.WriteHeader(header); err != nil || info.IsDir() {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(w, file)
	return err
}

// write lays the index out beside the file named, reads it again as a stranger
// would, and packs it.
func (m maker) write(out string, index v1.ImageIndex) error {
	folder, err := os.MkdirTemp(filepath.Dir(out), "oci-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	written, err := layout.Write(folder, empty.Index)
	if err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	// Names of images have neither ~ nor +.
	name := map[string]string{"org.opencontainers.image.ref.name": strings.NewReplacer("~", "-", "+", "-").Replace(m.version)}
	if err := written.AppendIndex(index, layout.WithAnnotations(name)); err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	read, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return fmt.Errorf("read layout: %w", err)
	}
	if err := validate.Index(read); err != nil {
		return fmt.Errorf("check layout: %w", err)
	}
	return m.pack(out, folder)
}

func (m maker) pack(out, folder string) error {
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer file.Close()
	var names []string
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	// oci-layout and index.json come first, for readers that do not seek.
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), cmp.Compare(b, a))
	})
	w := tar.NewWriter(file)
	for _, path := range names {
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil {
			return err
		}
		if err := m.add(w, path, name); err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return file.Close()
}
