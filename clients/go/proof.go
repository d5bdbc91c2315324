package remit

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// CertificateSource returns the agent's certificate as it is now, such as an X509-SVID of a workload API.
type CertificateSource func() (*tls.Certificate, error)

// RootsSource returns whom to trust for the gateway as it is now, such as a SPIFFE trust bundle.
type RootsSource func() ([]*x509.Certificate, error)

// proof is what a connection proves and trusts: files that are followed, or a source; without a CA, the system's roots.
type proof struct {
	caFile           string
	rootCertificates []byte
	certificateFile  string
	keyFile          string
	source           CertificateSource
	trust            RootsSource

	mu       sync.Mutex
	pair     *tls.Certificate
	pairRead string
}

// stamp changes when what a connection proves or trusts has changed.
func (p *proof) stamp() (string, error) {
	stamp, err := stampOf(p.caFile, p.certificateFile, p.keyFile)
	if err != nil {
		return "", err
	}
	seen := sha256.New()
	if p.source != nil {
		pair, err := p.certificate()
		if err != nil {
			return "", err
		}
		_, _ = seen.Write(pair.Certificate[0])
	}
	if p.trust != nil {
		roots, err := p.trust()
		if err != nil {
			return "", err
		}
		for _, root := range roots {
			_, _ = seen.Write(root.Raw)
		}
	}
	return fmt.Sprintf("%s%x", stamp, seen.Sum(nil)), nil
}

// stampOf returns when each file was last written, and its size.
func stampOf(files ...string) (string, error) {
	var stamp strings.Builder
	for _, file := range files {
		if file == "" {
			continue
		}
		found, err := os.Stat(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&stamp, "%d %d ", found.ModTime().UnixNano(), found.Size())
	}
	return stamp.String(), nil
}

// config reads the files; an error for what no connection can be made with.
func (p *proof) config() (*tls.Config, error) {
	roots, err := p.roots()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if p.certificateFile == "" && p.source == nil {
		return config, nil
	}
	if _, err := p.certificate(); err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.certificate() }
	return config, nil
}

// certificate returns the agent's certificate with its key, read again when a file has changed; what was before holds while they
// cannot be read or do not belong together, as in the midst of a rotation.
func (p *proof) certificate() (*tls.Certificate, error) {
	if p.source != nil {
		pair, err := p.source()
		if err == nil && (pair == nil || len(pair.Certificate) == 0) {
			err = errors.New("remit: the certificate source gives no certificate")
		}
		return pair, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	stamp, err := stampOf(p.certificateFile, p.keyFile)
	if err == nil && stamp != p.pairRead {
		var pair *tls.Certificate
		if pair, err = readPair(p.certificateFile, p.keyFile); err == nil {
			p.pair, p.pairRead = pair, stamp
		}
	}
	if p.pair != nil {
		return p.pair, nil
	}
	return nil, err
}

func (p *proof) roots() (*x509.CertPool, error) {
	if p.trust != nil {
		roots, err := p.trust()
		pool := x509.NewCertPool()
		for _, root := range roots {
			pool.AddCert(root)
		}
		return pool, err
	}
	certificates, what := p.rootCertificates, "the root certificates"
	if p.caFile != "" {
		var err error
		if certificates, err = os.ReadFile(p.caFile); err != nil {
			return nil, err
		}
		what = "the CA file " + p.caFile
	}
	if certificates == nil {
		return nil, nil
	}
	if err := checkCertificates(certificates, what); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificates)
	return pool, nil
}

// checkCertificates returns an error when this is not a sequence of certificates in PEM.
func checkCertificates(text []byte, what string) error {
	count := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("remit: %s is not a file of certificates in PEM, or one of them is damaged", what)
		}
		count++
	}
	if count == 0 {
		return fmt.Errorf("remit: %s is not a file of certificates in PEM, or one of them is damaged", what)
	}
	return nil
}

// readPair reads a certificate and the key that belongs to it. No error of it repeats what is in the files.
func readPair(certificateFile, keyFile string) (*tls.Certificate, error) {
	chain, err := os.ReadFile(certificateFile)
	if err != nil {
		return nil, err
	}
	if err := checkCertificates(chain, "the certificate file "+certificateFile); err != nil {
		return nil, err
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err == nil {
		return &pair, nil
	}
	switch {
	case isEncrypted(key):
		return nil, fmt.Errorf("remit: the key file %s is encrypted: give the key without a passphrase, in a file of mode 0600", keyFile)
	case strings.Contains(err.Error(), "does not match"):
		return nil, fmt.Errorf("remit: the key file %s does not belong to the certificate file %s", keyFile, certificateFile)
	default:
		return nil, fmt.Errorf(
			"remit: the key file %s is not a private key in PEM that fits the certificate file %s", keyFile, certificateFile)
	}
}

func isEncrypted(key []byte) bool {
	block, _ := pem.Decode(key)
	return block != nil && (block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "")
}
