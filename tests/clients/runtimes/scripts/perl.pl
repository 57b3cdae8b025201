# One call by Perl. Usage: perl.pl lwp|tiny [ROOTS]. Prints the call's total of tokens.
use strict;
use warnings;
use JSON::PP;

my ($library, $roots) = @ARGV;
my $url = 'https://api.openai.com/v1/chat/completions';
my $body = encode_json({
    model => 'gpt-4.1-mini',
    messages => [{ role => 'user', content => 'What holds a river back?' }],
});
my $answer;
if ($library eq 'lwp') {
    require LWP::UserAgent;
    my $agent = LWP::UserAgent->new;
    $agent->ssl_opts(SSL_ca_file => $roots) if $roots;
    my $got = $agent->post(
        $url,
        'Authorization' => 'Bearer test-0123456789',
        'Content-Type' => 'application/json',
        Content => $body,
    );
    die $got->status_line . "\n" unless $got->is_success;
    $answer = $got->decoded_content;
} else {
    require HTTP::Tiny;
    my %options = (verify_SSL => 1);
    $options{SSL_options} = { SSL_ca_file => $roots } if $roots;
    my $got = HTTP::Tiny->new(%options)->post($url, {
        headers => {
            'Authorization' => 'Bearer test-0123456789',
            'Content-Type' => 'application/json',
        },
        content => $body,
    });
    die "$got->{status} $got->{content}\n" unless $got->{success};
    $answer = $got->{content};
}
print decode_json($answer)->{usage}{total_tokens}, "\n";
