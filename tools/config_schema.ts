/** `npm run schema`: writes the JSON schema of `--config` into the package. */
import { writeFileSync } from 'node:fs';
import { configSchema } from '../src/cli/options/config_schema.js';
import { type Actions, buildProgram } from '../src/cli/program.js';

// Nothing is parsed, so no action is called.
const program = buildProgram({} as Actions, '', { out: () => {} });
const file = new URL('../docs/config.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(configSchema(program), null, 2)}\n`);
