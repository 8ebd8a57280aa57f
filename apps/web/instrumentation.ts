// Runs once, before the server answers anything.

export async function register(): Promise<void> {
  // Next.js compiles this file for its edge runtime too, where nothing of this host runs.
  if (process.env.NEXT_RUNTIME === 'nodejs') (await import('./lib/start')).start()
}
