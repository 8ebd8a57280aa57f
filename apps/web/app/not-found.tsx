// Every path that is nothing.

export default function NotFound() {
  return (
    <main>
      <h1>Not found</h1>
      <p>
        There is nothing at this address. <a href="/">What this host is</a>
      </p>
    </main>
  )
}
