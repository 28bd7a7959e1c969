/** `npm run schema`: writes the JSON schema of `--config` that the package contains. */
import { writeFileSync } from 'node:fs';
import { configSchema } from '../src/cli/options/config_options.js';
import { buildProgram } from '../src/cli/program.js';

const file = new URL('../docs/config.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(configSchema(await buildProgram()), null, 2)}\n`);
