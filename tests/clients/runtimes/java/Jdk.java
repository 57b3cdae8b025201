import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** One call by java.net.http. Usage: Jdk [ROOTS]. Prints the call's total of tokens. */
final class Jdk {
    public static void main(String[] arguments) throws Exception {
        HttpClient.Builder client = HttpClient.newBuilder();
        if (arguments.length > 0) {
            client.sslContext(new Roots(arguments[0]).context);
        }
        HttpRequest request =
                HttpRequest.newBuilder(URI.create(Roots.URL))
                        .header("Authorization", "Bearer test-0123456789")
                        .header("Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(Roots.BODY))
                        .build();
        Roots.say(client.build().send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
