/** What a connection proves and trusts, and the files that say so, followed as they change. */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { isIP, type Socket } from "node:net";
import * as tls from "node:tls";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** Where the certificates are; without an authority, the roots that come with Node.js. */
export interface TlsFiles {
  readonly caFile: string | undefined;
  readonly rootCertificates: string | Uint8Array | undefined;
  readonly certificateFile: string | undefined;
  readonly keyFile: string | undefined;
}

/** Returns when each file was last written, and its size; throws what reading them throws. */
export function stampsOf(files: TlsFiles): string {
  const names = [files.caFile, files.certificateFile, files.keyFile].filter((name) => name !== undefined);
  return names
    .map((name) => statSync(name, { bigint: true }))
    .map((stat) => `${stat.mtimeNs}:${stat.size}:${stat.ino}`)
    .join(" ");
}

/** Reads the files; throws what reading them throws, and TypeError for what no connection can be made with. */
export function contextOf(files: TlsFiles): tls.SecureContext {
  const roots = files.caFile === undefined ? files.rootCertificates : readFileSync(files.caFile);
  const ca = roots === undefined ? undefined : Buffer.from(roots).toString("latin1");
  if (ca !== undefined) {
    checkCertificates(ca, files.caFile === undefined ? "rootCertificates" : `caFile ${files.caFile}`);
  }
  const own = files.certificateFile && files.keyFile ? pairOf(files.certificateFile, files.keyFile) : {};
  return tls.createSecureContext({ minVersion: "TLSv1.2", ...(ca === undefined ? {} : { ca }), ...own });
}

/** Connects to the authority of an https URL for HTTP/2; a quiet connection keeps no program from ending. */
export function connected(authority: URL, secureContext: tls.SecureContext, isQuiet: boolean): Socket {
  const host = authority.hostname.replace(/^\[|\]$/g, "");
  const socket = tls.connect({
    host,
    port: Number(authority.port || 443),
    secureContext,
    ALPNProtocols: ["h2"],
    rejectUnauthorized: true,
    ...(isIP(host) ? {} : { servername: host }),
  });
  if (isQuiet) {
    socket.unref();
    // The HTTP/2 session would take hold of the program again with each stream.
    socket.ref = () => socket;
  }
  return socket;
}

function pairOf(certificateFile: string, keyFile: string): { cert: string; key: string } {
  const cert = readFileSync(certificateFile, "latin1");
  const first = checkCertificates(cert, `certificateFile ${certificateFile}`);
  const key = readFileSync(keyFile, "latin1");
  if (!fits(first, key, `keyFile ${keyFile}`, certificateFile)) {
    throw new TypeError(`keyFile ${keyFile} does not belong to certificateFile ${certificateFile}`);
  }
  return { cert, key };
}

/** Throws TypeError when this is not a sequence of certificates in PEM; returns the first. */
function checkCertificates(pem: string, what: string): X509Certificate {
  try {
    const [first] = (pem.match(CERTIFICATE) ?? []).map((one) => new X509Certificate(one));
    if (first !== undefined) {
      return first;
    }
  } catch {
    // told below
  }
  throw new TypeError(`${what} is not a file of certificates in PEM, or one of them is damaged`);
}

function fits(certificate: X509Certificate, pem: string, what: string, certificateFile: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(pem));
  } catch (error) {
    // NOTE: what OpenSSL says of a key that it cannot read is not passed on.
    if (error instanceof Error && "code" in error && error.code === "ERR_MISSING_PASSPHRASE") {
      throw new TypeError(`${what} is encrypted: give the key without a passphrase, in a file of mode 0600`);
    }
    throw new TypeError(`${what} is not a private key in PEM that fits certificateFile ${certificateFile}`);
  }
}
