// The test output: one line per test, failures at length at the end, and last of all the line `N passed, N failed`.
'use strict';

const { reporters, Runner } = require('mocha');

const { EVENT_RUN_END, EVENT_SUITE_BEGIN, EVENT_SUITE_END } = Runner.constants;
const { EVENT_TEST_PASS, EVENT_TEST_FAIL, EVENT_TEST_PENDING } = Runner.constants;
const { Base } = reporters;

class HouseReporter extends Base {
  constructor(runner, options) {
    super(runner, options);
    let depth = 0;
    let passed = 0;
    const skipped = [];
    const indent = () => '  '.repeat(depth);
    const print = (line) => process.stdout.write(`${line}\n`);

    runner.on(EVENT_SUITE_BEGIN, (suite) => {
      if (suite.root) return;
      print(`${indent()}${Base.color('suite', suite.title)}`);
      depth++;
    });
    runner.on(EVENT_SUITE_END, (suite) => {
      if (suite.root) return;
      depth--;
      if (depth === 0) print('');
    });
    runner.on(EVENT_TEST_PASS, (test) => {
      passed++;
      const slow = test.duration > test.slow() ? Base.color('bright yellow', ` (${test.duration} ms)`) : '';
      print(`${indent()}${Base.color('checkmark', Base.symbols.ok)} ${Base.color('pass', test.title)}${slow}`);
    });
    runner.on(EVENT_TEST_PENDING, (test) => {
      skipped.push(test);
      print(`${indent()}${Base.color('pending', `- ${test.title}`)}`);
    });
    runner.on(EVENT_TEST_FAIL, (test) => {
      print(`${indent()}${Base.color('fail', `${this.failures.length}) ${test.title}`)}`);
    });
    runner.once(EVENT_RUN_END, () => {
      if (this.failures.length > 0) Base.list(this.failures);
      if (skipped.length > 0) print(`${skipped.length} skipped`);
      print(`${passed} passed, ${this.failures.length} failed`);
    });
  }
}

module.exports = HouseReporter;
