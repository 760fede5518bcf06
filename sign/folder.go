package sign

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
)

// openFolder checks every file of a folder and keeps the folder open. Nothing
// outside of it can be reached, also not by links that are made later.
func openFolder(path string, limits Limits) (p *Package, err error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			root.Close()
		}
	}()
	files := &boundedFS{inner: root.FS(), most: limits.FileBytes}
	if _, err := files.Stat(manifestName); err != nil {
		return nil, folderWithoutManifest(files, err)
	}
	w := folderWalk{files: files, limits: limits, names: newNames(limits), digest: sha256.New()}
	if err := fs.WalkDir(files.inner, ".", w.visit); err != nil {
		return nil, err
	}
	return &Package{FS: files, Form: Folder, Digest: hex.EncodeToString(w.digest.Sum(nil)), close: root.Close}, nil
}

func folderWithoutManifest(files *boundedFS, err error) error {
	if _, inner := files.Stat(innerName); inner == nil {
		return fmt.Errorf("the folder has no %s but a %s; give the path of that file", manifestName, innerName)
	}
	return fmt.Errorf("the folder has no readable %s: %w", manifestName, err)
}

// folderWalk sums up a folder while it is walked.
type folderWalk struct {
	files  *boundedFS
	limits Limits
	names  *names
	total  int64
	digest hash.Hash // per file in walking order: path, zero byte, SHA-256 of the content
}

func (w *folderWalk) visit(path string, d fs.DirEntry, err error) error {
	if err != nil || path == "." {
		return err
	}
	if !d.IsDir() && !d.Type().IsRegular() {
		return fmt.Errorf("file %q: %w; put the file itself into the folder", path, errSpecial)
	}
	if err := w.names.add(path, d.IsDir()); err != nil {
		return fmt.Errorf("file %q: %w", path, err)
	}
	if d.IsDir() {
		return nil
	}
	return w.file(path)
}

func (w *folderWalk) file(path string) error {
	f, err := w.files.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	content := sha256.New()
	n, err := io.Copy(content, f)
	if err != nil {
		return err
	}
	if w.total += n; w.total > w.limits.TotalBytes {
		return fmt.Errorf("file %q: the files have more than %d bytes together", path, w.limits.TotalBytes)
	}
	w.digest.Write([]byte(path + "\x00"))
	w.digest.Write(content.Sum(nil))
	return nil
}
