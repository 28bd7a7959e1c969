import type { BootstrapAddress } from '../core/tox_network.js';
import { hexBytes } from './tox_id.js';

/**
 * The day on which https://nodes.tox.chat listed the nodes below as reachable over UDP. Most of them have been on the
 * list for years. They only introduce us to the network: any bootstrap node can replace any other, and `--nodes`
 * accepts a newer list.
 */
export const PUBLIC_NODES_SEEN = '2026-06-08';

/** Hosts, UDP port, TCP ports (empty: none), DHT public key. */
type Row = readonly [hosts: readonly string[], port: number, tcpPorts: readonly number[], key: string];

const ROWS: readonly Row[] = [
  [
    ['144.217.167.73'],
    33445,
    [3389, 33445],
    '7E5668E0EE09E19F320AD47902419331FFEE147BB3606769CFBE921A2A2FD34C',
  ],
  [['tox.abilinski.com'], 33445, [33445], '10C00EB250C3233E343E2AEBA07115A5C28920E9C8D29492F6D00B29049EDC7E'],
  [
    ['205.185.115.131'],
    53,
    [53, 443, 3389, 33445],
    '3091C6BEB2A993F1C6300C16549FABA67098FF3D62C6D253828B531470B53D68',
  ],
  [
    ['tox1.mf-net.eu'],
    33445,
    [3389, 33445],
    'B3E5FA80DC8EBD1149AD2AB35ED8B85BD546DEDE261CA593234C619249419506',
  ],
  [
    ['tox2.mf-net.eu'],
    33445,
    [3389, 33445],
    '70EA214FDE161E7432530605213F18F7427DC773E276B3E317A07531F548545F',
  ],
  [
    ['tox3.mf-net.eu'],
    33445,
    [3389, 33445],
    'F4FC9398B7167668ED2BCF85634E04D4CDCDD2F95DA5F305BD234888B6E6A771',
  ],
  [
    ['tox4.mf-net.eu'],
    33445,
    [3389, 33445],
    'DCD342A0D5E2AA8E35C2BD2C7988F906EEB631B35100170A7F30E77D7F596442',
  ],
  [
    ['tox.initramfs.io'],
    33445,
    [3389, 33445],
    '3F0A45A268367C1BEA652F258C85F4A66DA76BCAA667A49E770BCC4917AB6A25',
  ],
  [
    ['tox.hidemybits.com'],
    443,
    [443, 3389, 33445],
    '5D57B95EE4A7F37BA031DAD0CBD9510A9C96FFE09C1CE24A9C33746F39817D6E',
  ],
  [
    ['139.162.110.188', '2400:8902::f03c:93ff:fe69:bf77'],
    33445,
    [443, 3389, 33445],
    'F76A11284547163889DDC89A7738CF271797BF5E5E220643E97AD3C7E7903D55',
  ],
  [
    ['172.104.215.182', '2600:3c03::f03c:93ff:fe7f:6096'],
    33445,
    [443, 3389, 33445],
    'DA2BD927E01CD05EBCC2574EBE5BEBB10FF59AE0B2105A7D1E2B40E49BB20239',
  ],
  [
    ['172.105.109.31', '2600:3c04::f03c:92ff:fe30:5df'],
    33445,
    [33445],
    'D46E97CF995DC1820B92B7D899E152A217D36ABE22730FEA4B6BF1BFC06C617C',
  ],
  [['3.0.24.15'], 33445, [33445], 'E20ABCF38CDBFFD7D04B29C956B33F7B27A3BB7AF0618101617B036E4AEA402D'],
  [
    ['43.198.227.166'],
    33445,
    [3389, 33445],
    'AD13AB0D434BCE6C83FE2649237183964AE3341D0AFB3BE1694B18505E4E135E',
  ],
  [
    ['188.245.84.166'],
    33445,
    [443, 3389, 33445],
    '96B66D300BA2B59B98FC42DB1325E7092388F0379593E680ABDBEA03B9C9CE03',
  ],
  [
    ['188.214.122.30'],
    33445,
    [3389, 33445],
    '2A9F7A620581D5D1B09B004624559211C5ED3D1D712E8066ACDB0896A7335705',
  ],
  [
    ['86.107.187.54', '2a00:bba0:1204:3700:21e:6ff:fe4a:60fc'],
    33445,
    [3389, 33445],
    '2C0F90965134C7BEFAFE72B077A19221628D7045BB51C1165A2C75CDB2B32634',
  ],
  [
    ['95.181.230.108', '2a03:c980:db:5d::'],
    33445,
    [3389, 33445],
    'B5FFECB4E4C26409EBB88DB35793E7B39BFA3BA12AC04C096950CB842E3E130A',
  ],
  [['91.146.66.26'], 33445, [], 'B5E7DAC610DBDE55F359C7F8690B294C8E4FCEC4385DE9525DBFA5523EAD9D53'],
  [
    ['119.59.101.63'],
    33445,
    [443, 33445],
    '197F746696062FA3BD07BB3BC0656ABD6692B4DAA27DACF0F474754F2B09B060',
  ],
  [
    ['167.17.40.142'],
    33445,
    [3389, 33445],
    'E84453123B44A47120FFB469CBCDEEF078D3785D7AD7F6C5B2351CB5DDE2C54C',
  ],
];

/**
 * Returns the built-in public bootstrap nodes, one for each address. The command line uses them by default.
 *
 * @example
 * ```ts
 * const listener = await listen({ bootstrap: [...publicNodes(), 'node.example.org:33445:KEY'] });
 * ```
 */
export function publicNodes(): BootstrapAddress[] {
  return ROWS.flatMap(([hosts, port, tcpPorts, key]) =>
    hosts.map((host) => ({ host, port, tcpPorts, key: hexBytes(key) })),
  );
}
