import js from '@eslint/js'
import globals from 'globals'

const inBrowser = ['public/sdk/*.js', 'public/dashboard/**/*.js']

export default [
  { ignores: ['**/node_modules/**', 'bin/**', '.tools/**', 'data/**', '**/testdata/**'] },
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'array-callback-return': 'error',
      eqeqeq: 'error',
      'no-empty': ['error', { allowEmptyCatch: true }],
      'no-constructor-return': 'error',
      'no-eval': 'error',
      'no-implicit-globals': 'error',
      'no-implied-eval': 'error',
      'no-misleading-character-class': ['error', { allowEscape: true }],
      'no-self-compare': 'error',
      'no-unmodified-loop-condition': 'error',
      'no-unused-vars': ['error', { args: 'after-used', caughtErrors: 'all' }],
      'no-use-before-define': ['error', { functions: false, classes: false, variables: false }],
      'no-var': 'error',
      'object-shorthand': 'error',
      'preserve-caught-error': 'off', // what a function threw may be anything, and is not ours to pass on
      'prefer-const': ['error', { destructuring: 'all' }]
    }
  },
  {
    files: ['**/*.mjs', 'public/**/*.js', 'nodebridge/js/**/*.js'],
    languageOptions: { sourceType: 'module', globals: globals.nodeBuiltin }
  },
  {
    files: ['internal/samples/**/*.js', 'loadtest/**/*.js', 'internal/torture/**/*.js'],
    languageOptions: { sourceType: 'commonjs', globals: globals.node }
  },
  {
    files: inBrowser,
    languageOptions: { globals: globals.browser }
  },
  {
    files: ['**/test/**'],
    rules: { 'no-eval': 'off' } // functions are told apart by their source, which tests make up
  }
]
