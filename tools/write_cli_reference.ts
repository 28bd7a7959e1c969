/** `npm run reference`: writes docs/reference/command-line.md. */
import { writeFileSync } from 'node:fs';
import { buildProgram } from '../src/cli/program.js';
import { cliReference } from './cli_reference.js';

const file = new URL('../docs/reference/command-line.md', import.meta.url);
writeFileSync(file, cliReference(await buildProgram()));
