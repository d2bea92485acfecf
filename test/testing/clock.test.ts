import { expect } from 'chai';
import { createFakeClock } from '#dist/testing/index.js';

describe('testing/clock', () => {
  it('stands still until it is moved', async () => {
    const clock = createFakeClock(1000);
    expect(clock.now()).to.equal(1000);
    void clock.advance(50);
    expect(clock.now()).to.equal(1050);
    await clock.set(2000);
    expect(clock.now()).to.equal(2000);
  });

  it('wakes delays in the order they fall due, each at its time', async () => {
    const clock = createFakeClock(0);
    const log: string[] = [];
    const note = (name: string, ms: number): void =>
      void clock.delay(ms).then(() => log.push(`${name}@${clock.now()}`));
    note('c', 30);
    note('a', 10);
    note('b', 10);
    note('later', 31);
    await clock.advance(30);
    expect(log).to.deep.equal(['a@10', 'b@10', 'c@30']);
    expect(clock.now()).to.equal(30);
    expect(clock.pending).to.equal(1);
  });

  it('runs a loop of delays as often as it would have run', async () => {
    const clock = createFakeClock(0);
    const ticks: number[] = [];
    void (async () => {
      for (;;) {
        await clock.delay(10);
        await Promise.resolve();
        ticks.push(clock.now());
      }
    })();
    await clock.advance(35);
    expect(ticks).to.deep.equal([10, 20, 30]);
    expect(clock.now()).to.equal(35);
  });

  it('ends a delay when its signal aborts, and at once when it has', async () => {
    const clock = createFakeClock(0);
    const controller = new AbortController();
    const pending = clock.delay(1000, controller.signal);
    expect(clock.pending).to.equal(1);
    controller.abort();
    await pending;
    await clock.delay(1000, controller.signal);
    await clock.delay(0);
    await clock.delay(-5);
    expect(clock.pending).to.equal(0);
    expect(clock.now()).to.equal(0);
  });

  it('steps back without touching what is left of a delay', async () => {
    const clock = createFakeClock(10_000);
    let woken = false;
    void clock.delay(100).then(() => {
      woken = true;
    });
    await clock.set(5000);
    expect(clock.now()).to.equal(5000);
    await clock.advance(99);
    expect(woken).to.equal(false);
    await clock.advance(1);
    expect(woken).to.equal(true);
    expect(clock.now()).to.equal(5100);
  });

  it('refuses to advance backward', async () => {
    expect(
      await createFakeClock(0)
        .advance(-1)
        .catch((error: unknown) => error),
    ).to.be.instanceOf(RangeError);
  });
});
