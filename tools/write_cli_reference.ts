/** `npm run reference`: writes docs/reference/command-line.md. */
import { writeFileSync } from 'node:fs';
import { type Actions, buildProgram } from '../src/cli/program.js';
import { cliReference } from './cli_reference.js';

// Nothing is parsed, so no action is called.
const program = buildProgram({} as Actions, '', { out: () => {} });
writeFileSync(new URL('../docs/reference/command-line.md', import.meta.url), cliReference(program));
