package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestReadOpensslKeys reads keys in every form that openssl writes.
func TestReadOpensslKeys(t *testing.T) {
	dir := t.TempDir()
	rsaKey, ecKey := filepath.Join(dir, "rsa"), filepath.Join(dir, "ec")
	openssl(t, "genrsa", "-traditional", "-out", rsaKey, "2048")
	openssl(t, "ecparam", "-genkey", "-name", "prime256v1", "-out", ecKey) // with EC PARAMETERS before the key
	pass := "pass:" + phrase
	for _, tc := range []struct {
		name string
		args []string
		head string
	}{
		{"pkcs1", []string{"rsa", "-traditional", "-in", rsaKey}, labelPKCS1},
		{"sec1", []string{"ec", "-in", ecKey}, labelSEC1},
		{"sec1 with parameters", []string{"ecparam", "-genkey", "-name", "secp384r1"}, "EC PARAMETERS"},
		{"pkcs8 rsa", []string{"pkcs8", "-topk8", "-nocrypt", "-in", rsaKey}, labelPKCS8},
		{"pkcs8 ec", []string{"pkcs8", "-topk8", "-nocrypt", "-in", ecKey}, labelPKCS8},
		{"pbes2 default", []string{"pkcs8", "-topk8", "-in", ecKey, "-passout", pass}, labelEncrypted},
		{"pbes2 sha1", []string{"pkcs8", "-topk8", "-in", rsaKey, "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1", "-passout", pass}, labelEncrypted},
		{"pbes2 sha384", []string{"pkcs8", "-topk8", "-in", rsaKey, "-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA384", "-passout", pass}, labelEncrypted},
		{"pbes2 sha512", []string{"pkcs8", "-topk8", "-in", rsaKey, "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512", "-iter", "77777", "-passout", pass}, labelEncrypted},
		{"pkey", []string{"pkey", "-in", rsaKey, "-aes-256-cbc", "-passout", pass}, labelEncrypted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(tc.name, " ", "-"))
			openssl(t, append(tc.args, "-out", path)...)
			mustHave(t, read(t, path), "-----BEGIN "+tc.head+"-----")
			key, err := readKey(path, given(phrase))
			if err != nil {
				t.Fatal(err)
			}
			checkSamePublic(t, key, path)
			if tc.head != labelEncrypted {
				return
			}
			if _, err := readKey(path, given("wrong "+phrase)); !errors.Is(err, ErrPassPhrase) {
				t.Errorf("with a wrong pass phrase: %v", err)
			}
			_, err = readKey(path, nil)
			mustFail(t, err, "encrypted", "no pass phrase", path)
		})
	}
}

// checkSamePublic wants openssl to find the same public key in the file.
func checkSamePublic(t *testing.T, key crypto.Signer, path string) {
	t.Helper()
	block, _ := pem.Decode([]byte(openssl(t, "pkey", "-in", path, "-pubout", "-passin", "pass:"+phrase)))
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !sameKey(public, key.Public()) {
		t.Errorf("openssl finds another key in %s", path)
	}
}

// TestOpensslReadsOurKeys lets openssl open what is written here.
func TestOpensslReadsOurKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := makeKey(P256)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		key    crypto.Signer
		secret string
	}{{rsaKey, ""}, {ecKey, ""}, {rsaKey, phrase}, {ecKey, "größer als ASCII"}} {
		data, err := EncodeKey(tc.key, bytesOrNil(tc.secret))
		if err != nil {
			t.Fatal(err)
		}
		path := write(t, filepath.Join(t.TempDir(), "key"), string(data))
		block, _ := pem.Decode([]byte(openssl(t, "pkey", "-in", path, "-pubout", "-passin", "pass:"+tc.secret)))
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil || !sameKey(public, tc.key.Public()) {
			t.Errorf("%T, %q: openssl finds another key (%v)", tc.key, tc.secret, err)
		}
		if tc.secret == "" {
			continue
		}
		if out, err := tryOpenssl(t, "pkey", "-in", path, "-noout", "-passin", "pass:other phrase"); err == nil {
			t.Errorf("%q: openssl opens it with another pass phrase: %s", tc.secret, out)
		}
		mustHave(t, openssl(t, "asn1parse", "-in", path), ":PBES2", ":PBKDF2", ":hmacWithSHA256", ":aes-256-cbc", fmt.Sprintf(":%06X", iterations))
	}
}

func bytesOrNil(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

func TestKeysThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, args ...string) string {
		path := filepath.Join(dir, name)
		openssl(t, slices.Insert(args, 1, "-out", path)...)
		return path
	}
	good := file("good", "genrsa", "2048")
	pass := "pass:" + phrase
	twice := write(t, filepath.Join(dir, "twice"), read(t, good)+read(t, good))
	for _, tc := range []struct {
		path  string
		words []string
	}{
		{file("legacy", "rsa", "-in", good, "-aes256", "-traditional", "-passout", pass), []string{"old form", "openssl pkcs8 -topk8", "legacy"}},
		{file("scrypt", "pkcs8", "-topk8", "-scrypt", "-in", good, "-passout", pass), []string{"other than PBKDF2", "openssl pkcs8 -topk8", "scrypt"}},
		{file("pbes1", "pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-in", good, "-passout", pass), []string{"other than PBES2", "openssl pkcs8 -topk8"}},
		{file("des3", "pkcs8", "-topk8", "-v2", "des3", "-in", good, "-passout", pass), []string{"other than AES", "openssl pkcs8 -topk8"}},
		{file("der", "pkey", "-in", good, "-outform", "DER"), []string{"no private key in PEM", "openssl pkey -inform DER"}},
		{file("small", "genrsa", "1024"), []string{"1024 bits", "2048"}},
		{file("p224", "ecparam", "-genkey", "-name", "secp224r1"), []string{"P-224", "P-256"}},
		{file("ed25519", "genpkey", "-algorithm", "ed25519"), []string{"ed25519", "RSA"}},
		{file("x25519", "genpkey", "-algorithm", "x25519"), []string{"cannot sign", "RSA"}},
		{file("public", "rsa", "-in", good, "-pubout"), []string{"no private key"}},
		{twice, []string{"more than one private key"}},
		{write(t, filepath.Join(dir, "empty"), ""), []string{"no private key"}},
		{write(t, filepath.Join(dir, "large"), strings.Repeat("x", maxFile+1)), []string{"larger than"}},
		{filepath.Join(dir, "missing"), []string{"no such file"}},
	} {
		t.Run(filepath.Base(tc.path), func(t *testing.T) {
			_, err := readKey(tc.path, given(phrase))
			mustFail(t, err, append(tc.words, tc.path)...)
		})
	}
}

// TestConvertedByTheCommandOfTheError runs what the message about an old file
// proposes.
func TestConvertedByTheCommandOfTheError(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old.key")
	openssl(t, "genrsa", "-traditional", "-aes128", "-passout", "pass:"+phrase, "-out", old, "2048")
	_, err := readKey(old, given(phrase))
	if err == nil {
		t.Fatal("an old file is read")
	}
	_, command, _ := strings.Cut(err.Error(), "openssl ")
	words := strings.Fields(command)
	words[len(words)-1] = filepath.Join(dir, "new.key")
	openssl(t, append(words, "-passin", "pass:"+phrase, "-passout", "pass:"+phrase)...)
	key, err := readKey(filepath.Join(dir, "new.key"), given(phrase))
	if err != nil {
		t.Fatal(err)
	}
	checkSamePublic(t, key, old)
}

func TestLoadSigner(t *testing.T) {
	a := newRoot(t)
	dir := t.TempDir()
	one := issue(t, a, request(dir, "one"))
	other := issue(t, a, request(dir, "other"))
	cert, key := read(t, one.CertFile), read(t, one.KeyFile)
	root := string(encodeCertificate(a.Certificate))
	fused := write(t, filepath.Join(dir, "fused"), cert+key)
	keyFirst := write(t, filepath.Join(dir, "keyfirst"), "some words\n"+key+root+cert)
	for _, files := range [][2]string{{one.CertFile, one.KeyFile}, {fused, ""}, {keyFirst, ""}, {fused, one.KeyFile}} {
		c, k, err := LoadSigner(files[0], files[1], nil)
		if err != nil {
			t.Errorf("%q: %v", files, err)
			continue
		}
		if !c.Equal(one.Certificate) || !sameKey(k.Public(), c.PublicKey) {
			t.Errorf("%q: another certificate or key", files)
		}
	}
	_, _, err := LoadSigner(one.CertFile, other.KeyFile, nil)
	mustFail(t, err, one.CertFile, other.KeyFile, "together")
	_, _, err = LoadSigner(one.CertFile, "", nil)
	mustFail(t, err, one.CertFile, "no private key")
	_, _, err = LoadSigner(one.KeyFile, "", nil)
	mustFail(t, err, one.KeyFile, "no certificate")
	_, _, err = LoadSigner(write(t, filepath.Join(dir, "bad.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), one.KeyFile, nil)
	mustFail(t, err, "bad.pem")
}

// TestIterationsAreBounded keeps a hostile file from working for hours.
func TestIterationsAreBounded(t *testing.T) {
	key, err := makeKey(P256)
	if err != nil {
		t.Fatal(err)
	}
	data, err := EncodeKey(key, []byte(phrase))
	if err != nil {
		t.Fatal(err)
	}
	_, err = keyReader{pass: given(phrase), iterations: iterations - 1}.parse(data)
	mustFail(t, err, "600000 iterations")
}

// FuzzKeyFile: a key that is taken is one that the standard library reads too,
// and is the same after it was written and read again.
func FuzzKeyFile(f *testing.F) {
	small, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := EncodeKey(small, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	entries, err := os.ReadDir("testdata/keys")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join("testdata/keys", e.Name()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := keyReader{name: "f", pass: given(phrase), iterations: 5000}.parse(data)
		if err != nil {
			return
		}
		if checkPublic(key.Public()) != nil {
			t.Fatalf("took a key that does not fit: %T", key)
		}
		if !bytes.Contains(data, []byte(labelEncrypted)) && !foundPlainly(data, key) {
			t.Fatal("the standard library finds no such key in it")
		}
		again, err := EncodeKey(key, nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := keyReader{name: "f"}.parse(again)
		if err != nil || !sameKey(back.Public(), key.Public()) {
			t.Fatalf("it is another key when written again: %v", err)
		}
	})
}

// foundPlainly looks for the key in each PEM block with each parser of the
// standard library.
func foundPlainly(data []byte, key crypto.Signer) bool {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil && k.Equal(key) {
			return true
		}
		if k, err := x509.ParseECPrivateKey(block.Bytes); err == nil && k.Equal(key) {
			return true
		}
		k, _ := x509.ParsePKCS8PrivateKey(block.Bytes)
		if k, ok := k.(interface{ Equal(crypto.PrivateKey) bool }); ok && k.Equal(key) {
			return true
		}
	}
	return false
}

// A key that others may read is refused, encrypted or not.
func TestLooseKeysAreRefused(t *testing.T) {
	m := issue(t, newRoot(t), request(t.TempDir(), "anna"))
	if err := os.Chmod(m.KeyFile, 0o604); err != nil {
		t.Fatal(err)
	}
	_, _, err := LoadSigner(m.CertFile, m.KeyFile, nil)
	mustFail(t, err, m.KeyFile, "mode 0604", "chmod o-rwx")
	if err := os.Chmod(m.KeyFile, 0o640); err != nil {
		t.Fatal(err)
	}
	load(t, m.CertFile, m.KeyFile, "")
}

// A pipe in place of a certificate, a key or a request makes nothing wait.
func TestPipesAreRefused(t *testing.T) {
	m := issue(t, newRoot(t), request(t.TempDir(), "anna"))
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := LoadSigner(pipe, m.KeyFile, nil)
	mustFail(t, err, pipe, "not a regular file")
	_, _, err = LoadSigner(m.CertFile, pipe, nil)
	mustFail(t, err, pipe, "not a regular file")
}
