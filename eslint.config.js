// The six rules that need types and that Biome does not cover as well yet. Biome checks everything else.
import tseslint from 'typescript-eslint';

export default tseslint.config({
  files: [
    'src/**/*.ts',
    'test/**/*.ts',
    'bench/**/*.ts',
    'demo/**/*.ts',
    'tools/**/*.ts',
    'examples/**/*.ts',
  ],
  extends: [tseslint.configs.base],
  languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
  rules: {
    '@typescript-eslint/no-floating-promises': [
      'error',
      {
        allowForKnownSafeCalls: [{ from: 'package', name: ['describe', 'test', 'it'], package: 'node:test' }],
      },
    ],
    '@typescript-eslint/no-misused-promises': 'error',
    '@typescript-eslint/await-thenable': 'error',
    '@typescript-eslint/switch-exhaustiveness-check': 'error',
    '@typescript-eslint/no-unnecessary-condition': 'error',
    '@typescript-eslint/only-throw-error': 'error',
  },
});
