import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { certificatesToPem } from '#dist/identity/pem.js';
import type { X509Source } from '#dist/identity/types.js';

export interface Handshake {
  readonly protocol: string | null;
  /** The certificate (DER) each side saw of the other. */
  readonly clientSaw: Uint8Array;
  readonly serverSaw: Uint8Array;
}

/** One real handshake, TLS 1.3 with certificates on both sides. Rejects where either side refuses. */
export async function handshake(client: X509Source, server: X509Source): Promise<Handshake> {
  const listener = createServer({
    ...material(server),
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = Promise.race([
    once(listener, 'secureConnection').then(([socket]) => socket as TLSSocket),
    once(listener, 'tlsClientError').then(([error]) => Promise.reject(error as Error)),
  ]);
  accepted.catch(() => undefined);
  const socket = connect({
    ...material(client),
    port: (listener.address() as AddressInfo).port,
    host: '127.0.0.1',
    checkServerIdentity: () => undefined,
  });
  try {
    await once(socket, 'secureConnect');
    const other = await accepted;
    other.on('error', () => undefined);
    const result: Handshake = {
      protocol: socket.getProtocol(),
      clientSaw: new Uint8Array(socket.getPeerCertificate().raw),
      serverSaw: new Uint8Array(other.getPeerCertificate().raw),
    };
    other.destroy();
    return result;
  } finally {
    socket.on('error', () => undefined);
    socket.destroy();
    listener.close();
    await once(listener, 'close');
  }
}

function material(source: X509Source): { cert: string; key: string; ca: string[] } {
  const { svid, bundles } = source.current();
  return { cert: svid.certificatePem, key: svid.privateKeyPem, ca: [...bundles.values()].map(certificatesToPem) };
}
